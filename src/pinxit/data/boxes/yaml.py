"""The part of YAML that a data.yaml uses: keys with a word, a list or numbered names. Nothing else is read.

train: images/train          names: [cat, dog]        names:            names:
val: images/val              names: {0: cat, 1: dog}    - cat             0: cat
"""

from __future__ import annotations

from pinxit.errors import DataError

Value = str | list[str] | dict[str, str]


def parsed(text: str, name: str) -> dict[str, Value]:
    """Return the values by key; `DataError` for what this part of YAML does not have and a set needs."""
    found: dict[str, Value] = {}
    key = ""
    for number, line in enumerate(text.splitlines(), 1):
        line = _without_comment(line)
        content = line.strip()
        if not content or content in ("---", "..."):
            continue
        inside = line[0] in " \t" or content.startswith("- ")
        try:
            if inside:
                _add(found, key, content)
            else:
                key, value = _pair(content)
                found[key] = _value(value)
        except ValueError as error:
            if key in ("names", "train", "val", "test"):
                raise DataError(f"{name}: line {number} cannot be read; {error}") from error
    return found


def _add(found: dict[str, Value], key: str, content: str) -> None:
    """Add a line that belongs to the key above it."""
    above = found.get(key) or ""
    if content.startswith("- "):
        found[key] = [*(above if isinstance(above, list) else []), _word(content[2:])]
    else:
        number, value = _pair(content)
        found[key] = {**(above if isinstance(above, dict) else {}), number: _word(value)}


def _pair(content: str) -> tuple[str, str]:
    key, colon, value = content.partition(":")
    if not colon:
        raise ValueError("a line is a key, a colon and a value")
    return _word(key), value.strip()


def _value(text: str) -> Value:
    """Return a word, or what stands between brackets."""
    if text[:1] == "[" and text[-1:] == "]":
        return [_word(part) for part in text[1:-1].split(",") if part.strip()]
    if text[:1] == "{" and text[-1:] == "}":
        return {key: _word(value) for key, value in map(_pair, filter(str.strip, text[1:-1].split(",")))}
    if text[:1] in ("[", "{", "|", ">", "&", "*", "!"):
        raise ValueError("a list stands in one line between brackets, or below its key, each after '- '")
    return _word(text)


def _word(text: str) -> str:
    """Return a word without quotes."""
    text = text.strip()
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _without_comment(line: str) -> str:
    """Return a line up to a comment, which begins with # after a space or at the start."""
    if line.startswith("#"):
        return ""
    return line.partition(" #")[0]
