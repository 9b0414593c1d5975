"""From an action to a command: flags from its fields, help from its docstring, JSON or lines from its outcome."""

# Commands get their annotations at run time, so this file does not import `annotations`.
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from inspect import Parameter as Place
from inspect import Signature, cleandoc
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from cyclopts import App, Group, Parameter, Token, convert
from pydantic import BeforeValidator, ValidationError
from pydantic.fields import FieldInfo

from pinxit.actions import ACTIONS, GROUPS, variants
from pinxit.actions.action import PIPE, Action, First, Flag, Outcome, Word, mark
from pinxit.errors import UsageError, printable
from pinxit.settings import Range, Settings, Topic, as_text, did_you_mean, explain, flag_of, step_text
from pinxit.streams import stdout

JSON = Place(
    "as_json",
    Place.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, Parameter(name="--json", negative=(), help="Print one JSON document.")],
)

LONE = {"--subject": ("only", r"only|invert"), "--crisp": ("0.5", r"\d*\.?\d+")}
"""Flags that may stand alone: the value that is then meant, and what a word after them must match to be their value."""


def completed(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with a value for each flag that stands alone."""
    return [
        word
        for one, after in zip(words, [*words[1:], ""], strict=True)
        for word in ((one, LONE[one][0]) if one in LONE and not re.fullmatch(LONE[one][1], after) else (one,))
    ]


def build(first: str = "") -> App:
    """Return the application. Only the command `first` is complete; the others only fill the list of commands."""
    app = application("pinxit", "Train image generators, edit pictures, and score the results honestly.")
    for name, summary in GROUPS.items():
        app.command(application(name, summary))
    for name, kind in ACTIONS.items():
        group, _, word = name.rpartition(" ")
        around = app[group] if group else app
        if first == (group or name):
            add(around, word, kind, variants(name))
        else:
            around.command(_not_ready, name=word, help=kind.summary())
    return app


def _not_ready() -> None:
    """Stand in for a command that was not called: reading twenty signatures would double the time of a help page."""


def application(name: str, text: str) -> App:
    """Return an application without commands."""
    return App(
        name=name, help=text, help_format="plaintext", result_action="return_value", suppress_keyboard_interrupt=False
    )


def add(app: App, word: str, kind: type[Action], actions: Mapping[str, type[Action]]) -> None:
    """Add the command of an action, or a group of commands for its variants."""
    if kind in actions.values():
        app.command(command(kind), name=word, help=help_of(kind))
        return
    group = application(word, help_of(kind))
    for name, variant in actions.items():
        if name == word:
            group.default(command(variant))
        else:
            group.command(command(variant), name=name.rpartition(" ")[2], help=help_of(variant))
    app.command(group)


def help_of(kind: type[Action]) -> str:
    """Return the docstring with a line for each paragraph."""
    paragraphs = cleandoc(kind.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


@dataclass(frozen=True, eq=False)
class Argument:
    """An argument of a command: a field of the action, or a field of the settings in that field."""

    path: tuple[str, ...]
    field: FieldInfo
    heading: str = ""
    """Under which help lists it; the usual ones if empty."""
    first: bool = False
    """Whether it is among the few that matter first."""

    @property
    def word(self) -> Word | None:
        """How the value is given by its place; None if by a flag."""
        return mark(self.field.metadata, Word)

    @property
    def flags(self) -> tuple[str, ...]:
        """The flags, the first of which is the usual one."""
        flag = mark(self.field.metadata, Flag)
        return flag.names if flag else (flag_of(self.path[-1]),)

    @property
    def negative(self) -> str | tuple[()] | None:
        """The flag that says no; None for the usual one, () for none, as of fields of an action."""
        flag = mark(self.field.metadata, Flag)
        if flag and flag.negative:
            return str(flag.negative)
        return () if len(self.path) == 1 else None

    @property
    def name(self) -> str:
        """What the value is called: RUN, or --batch-size."""
        return self.word.name if self.word else self.flags[0]

    @property
    def pipe(self) -> bool:
        """Whether - stands for a pipe."""
        marked = self.word or mark(self.field.metadata, Flag)
        return bool(marked and marked.pipe)

    def words(self, value: Any) -> list[str]:
        """Return the words that give this value, in its JSON form; none if it says nothing."""
        if value is None or value == []:
            return []
        if isinstance(value, bool):
            return self._yes_or_no(value)
        kind = _typed(self.field.annotation, self.field.metadata)
        many = get_origin(kind) is tuple
        joint = ".." if _holds(self.field.annotation, get_args(Range)[0]) else ","
        texts = [_text(item) for item in (value if isinstance(value, list) else [value])]
        texts = texts if many else [joint.join(texts)]
        if self.word:
            return [f"./{text}" if text.startswith("-") and text != PIPE else text for text in texts]
        return self._flagged(texts)

    def _flagged(self, texts: list[str]) -> list[str]:
        """Return the flag with these values: alone if it may stand so, joined by = if a value looks like a flag."""
        lone, more = LONE.get(self.flags[0], ("", ".*"))
        if texts == [lone]:
            return [self.flags[0]]
        if all(re.fullmatch(more, text, re.DOTALL) and not text.startswith("-") for text in texts):
            return [self.flags[0], *texts]
        return [f"{self.flags[-1]}={text}" for text in texts]

    def _yes_or_no(self, value: bool) -> list[str]:
        if value:
            return [self.flags[0]]
        no = f"--no-{self.flags[-1].removeprefix('--')}" if self.negative is None else self.negative
        return [no] if no else []

    def parameter(self, groups: Mapping[str, Group]) -> Place:
        """Return the function parameter from which cyclopts makes the flag."""
        word = self.word
        kind = _typed(self.field.annotation, self.field.metadata)
        many = get_origin(kind) is tuple
        about = Parameter(
            name=word.name if word else self.flags,
            help=self.field.description,
            group=groups.get(self.heading, "Arguments" if word else "Parameters"),
            negative=self.negative,
            converter=_whole if kind is int else None,
            consume_multiple=many and not word,
            allow_leading_hyphen=self.pipe,
        )
        default = Place.empty if self.field.is_required() else _shown(self.field.default)
        default = str(default) if kind is str and isinstance(default, int) else default
        kind = kind | None if default is None else kind
        if word and many:
            return Place("__".join(self.path), Place.VAR_POSITIONAL, annotation=Annotated[str, about])
        where = Place.POSITIONAL_ONLY if word else Place.KEYWORD_ONLY
        return Place("__".join(self.path), where, default=default, annotation=Annotated[kind, about])


def command(kind: type[Action]) -> Callable[..., None]:
    """Return the function that runs an action with the given words and flags, and prints the outcome."""
    asked = {"__".join(one.path): one for one in fields(kind)}
    groups = {name: Group(name, sort_key=number) for number, name in enumerate(headings(asked.values()))}
    places = [one.parameter(groups) for one in asked.values()]
    signature = Signature([*sorted(places, key=lambda place: place.kind), JSON])

    def act(*words: Any, **flags: Any) -> None:
        given = signature.bind(*words, **flags).arguments
        as_json = given.pop("as_json", False)
        flat = {asked[name]: value for name, value in given.items()}
        _refuse_misspelt(kind, flat)
        if as_json and any(PIPE in _words(value) for one, value in flat.items() if one.pipe):
            raise UsageError("--json cannot be combined with - (one picture through a pipe)")
        outcome = parsed(kind, flat).do()
        _print(outcome, as_json)
        outcome.check()

    act.__signature__ = signature  # type: ignore[attr-defined]
    act.__annotations__ = {place.name: place.annotation for place in signature.parameters.values()}
    act.__doc__ = None
    return act


def fields(kind: type[Action]) -> Iterator[Argument]:
    """Yield every value an action takes; settings inside it give their own fields.

    A setting of an edit stands in for one of the same name that all edits have, such as --box.
    """
    taken: set[str] = set()
    for name, field in kind.model_fields.items():
        if inner := settings_in(field):
            for key in [key for key in inner.model_fields if key not in taken]:
                value, topic = inner.model_fields[key], inner.topic_of(key)
                taken.add(key)
                first = inner.marked(key, First) or (mark(field.metadata, First) and not topic)
                heading = topic.value if topic else str(field.title)
                yield Argument((name, key), value, heading, value.is_required() or bool(first))
        else:
            yield Argument((name,), field, first=field.is_required() or bool(mark(field.metadata, First)))


def headings(arguments: Iterable[Argument]) -> list[str]:
    """Return the headings of help in order: that of the settings that come first, then their topics, and so on."""
    first: dict[str, str] = {}
    for one in arguments:
        if one.heading:
            first.setdefault(one.heading, one.path[0])
    settings, topics = list(dict.fromkeys(first.values())), [topic.value for topic in Topic]
    return sorted(first, key=lambda name: (settings.index(first[name]), name in topics and topics.index(name) + 1))


def parsed(kind: type[Action], flat: Mapping[Argument, Any]) -> Action:
    """Return the action with these values; a `UsageError` names the flag that is wrong."""
    values: dict[str, Any] = {name: {} for name, field in kind.model_fields.items() if settings_in(field)}
    for one, value in flat.items():
        *around, name = one.path
        (values[around[0]] if around else values)[name] = value
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(_as_flag(error, kind)) from error


def words(name: str, action: Action) -> list[str]:
    """Return the words after `pinxit` that ask for an action of this full name, such as "train gan".

    This is the inverse of parsing, for what was given; a value that says nothing, such as None, has no words.
    """
    placed: list[str] = []
    flags: list[str] = []
    values = action.model_dump(mode="json")
    for one in fields(type(action)):
        *around, key = one.path
        owner = getattr(action, around[0]) if around else action
        if key in owner.model_fields_set:
            value = (values[around[0]] if around else values).get(key)
            (placed if one.word else flags).extend(one.words(_brief(getattr(owner, key), value)))
    return [*name.split(), *placed, *flags]


def _brief(value: Any, document: Any) -> Any:
    """Return the JSON of a value; of a chain of edits, in the text grammar, what was given of each."""
    if not (isinstance(value, tuple) and value and all(isinstance(step, Settings) for step in value)):
        return document
    steps = [
        step_text({key: row[key] for key in row if key == "name" or key in step.model_fields_set})
        for step, row in zip(value, document, strict=True)
    ]
    if len(steps) > 1:  # a name alone, without brackets, is a command of its own
        steps = [step.removesuffix("()") for step in steps]
    return " | ".join(steps)


def _as_flag(error: ValidationError, kind: type[Action]) -> str:
    """Return the error about a value, with the name it has on the command line."""
    place = tuple(map(str, error.errors(include_url=False)[0]["loc"]))
    name, colon, reason = explain(error).partition(": ")
    for one in fields(kind):
        if one.path == place[: len(one.path)]:
            return f"{one.name}: {reason}"
    return reason if colon and name in kind.model_fields else name + colon + reason


def _refuse_misspelt(kind: type[Action], flat: Mapping[Argument, Any]) -> None:
    """Raise `UsageError` for a word that begins with a hyphen and is no file: a misspelt flag."""
    words = [word for one, value in flat.items() if one.word for word in _words(value)]
    wrong = [word for word in words if word.startswith("-") and word != PIPE and not Path(word).exists()]
    if not wrong:
        return
    flags = [flag for one in fields(kind) if not one.word for flag in one.flags]
    chained = any(one.word for one in fields(kind) if not one.pipe)
    hint = "; in a chain, write an edit's settings in brackets after its name" if chained else ""
    raise UsageError(f"unknown option {wrong[0]}{hint or did_you_mean(wrong[0], [*flags, '--json'])}")


def _words(value: Any) -> Sequence[str]:
    return value if isinstance(value, tuple) else (str(value),)


def _print(outcome: Outcome, as_json: bool) -> None:
    text = "" if outcome.stream else _document(outcome.json()) if as_json else _lines(outcome)
    with stdout():
        if outcome.stream:
            sys.stdout.buffer.write(outcome.stream)
        sys.stdout.write(text)


def _lines(outcome: Outcome) -> str:
    """Return the lines for a terminal, each of which cannot act on it."""
    lines = outcome.files if outcome.lines is None else outcome.lines
    return "".join(f"{printable(line)}\n" for line in lines)


def _document(document: Any) -> str:
    """Return JSON with the exact values; in ASCII if a character could act on a terminal, or stdout lacks it."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    with suppress(UnicodeEncodeError):
        text.encode(sys.stdout.encoding or "ascii")
        if text.isascii() or all(line == printable(line) for line in text.split("\n")):
            return f"{text}\n"
    return f"{json.dumps(document, indent=2)}\n"


def settings_in(field: FieldInfo) -> type[Settings] | None:
    """Return the class of the settings that a field of an action holds; None if it holds none."""
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, Settings) else None


def _typed(kind: Any, metadata: Sequence[Any] = ()) -> Any:
    """Return the type that cyclopts parses a value as: text if the settings class parses it."""
    if any(isinstance(one, BeforeValidator) for one in metadata):
        return str
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _typed(inside[0], inside[1:])
    if origin in (Union, UnionType):
        kinds = [_typed(one) for one in inside if one is not NoneType]
        return kinds[0] if len(kinds) == 1 else str
    if origin is tuple and inside[-1] is Ellipsis:
        return tuple[_typed(inside[0]), ...]  # type: ignore[misc]
    return kind if origin is Literal or kind in (bool, int, float, str, Path) else str


def _whole(kind: Any, tokens: Sequence[Token]) -> Any:
    """Return a whole number from its text; cyclopts would round 2.5."""
    if tokens[0].value.partition(".")[2].strip("0"):
        raise ValueError(f'"{tokens[0].value}" is not a whole number')
    return convert(int, tokens)


def _holds(kind: Any, wanted: Any) -> bool:
    """Return whether a type is, or is made of, another."""
    return kind == wanted or any(_holds(one, wanted) for one in get_args(kind))


def _text(value: Any) -> str:
    return as_text(value) if isinstance(value, float) else str(value)


def _shown(default: Any) -> Any:
    """Return a default in the form that help shows; None is not shown."""
    if default is None or default in ((), ""):
        return None
    return as_text(list(default)) if isinstance(default, tuple) else default
