"""Pascal VOC: an XML file for each picture. Pixels count from 1, and a box includes its last ones.

So xmin 1 and xmax 1 is the first column, here 0 to 1. What is `difficult` is ignored in judging.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from pinxit.data.boxes.box import LARGEST_TEXT, Annotations, Box, Boxed, Form, Place, Predicted
from pinxit.data.boxes.finding import Finder
from pinxit.data.layout import first_few
from pinxit.errors import DataError, counted
from pinxit.files import read_bytes, write_whole

ROOT = "annotation"
FOLDER = "annotations"


def knows(place: Place) -> bool:
    """Return whether there are XML files of the stems of pictures."""
    stems = {PurePosixPath(name).stem for name in place.pictures}
    return any(name.endswith(".xml") and PurePosixPath(name).stem in stems for name in place.files)


def read(place: Place) -> Annotations:
    """Return the boxes of all XML files that belong to pictures."""
    finder, found, alone = Finder(place.pictures), dict[str, Boxed](), list[str]()
    notes: list[str] = []
    for name in place.files:
        if not name.endswith(".xml"):
            continue
        picture = finder.find(PurePosixPath(name).with_suffix("").as_posix(), name)
        if picture is None:
            alone.append(name)
            continue
        boxed, odd = boxes_of(read_bytes(place.folder / name, LARGEST_TEXT), name)
        if boxed is not None:
            found[picture] = boxed
        notes += odd
    if alone:
        notes.append(f"{counted(len(alone), 'XML file')} of no picture: {first_few(alone)}")
    names = {box.name for boxed in found.values() for box in boxed.boxes}
    return Annotations(found, sorted(names), notes=notes)


def boxes_of(content: bytes, name: str) -> tuple[Boxed | None, list[str]]:
    """Return what an XML file says of its picture, None if it is no annotation; and a line for each odd object."""
    root = parsed(content, name)
    if root.tag != ROOT:
        return None, []
    boxes, odd = [], []
    for thing in root.iter("object"):
        sides = [_number(thing.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
        kind = " ".join((thing.findtext("name") or "").split())
        if not kind or None in sides:
            odd.append(f"{name}: an object without a name or a whole box is left out")
            continue
        left, top, right, bottom = (side for side in sides if side is not None)
        difficult = (thing.findtext("difficult") or "0").strip() == "1"
        equal = left == right or top == bottom  # a point, not one pixel: no person frames that
        shift = 0 if equal else 1
        boxes.append(Box(left - 1, top - 1, right - 1 + shift, bottom - 1 + shift, kind, difficult))
    wide, high = (_number(root.findtext(f"size/{side}")) or 0 for side in ("width", "height"))
    return Boxed(boxes, (int(wide), int(high)) if wide > 0 and high > 0 else None), odd


def parsed(content: bytes, name: str) -> ElementTree.Element:
    """Return the root of an XML text; a `DataError` if it is none, or defines entities of its own."""
    if b"<!" in content.replace(b"<!--", b"").replace(b"<![CDATA[", b"") or b"\0" in content:
        raise DataError(f"{name}: XML with definitions of its own, or not in UTF-8, which no annotation needs")
    try:
        return ElementTree.fromstring(content)  # noqa: S314 (entities are refused above)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{name} is not XML ({error})") from error


def write(folder: Path, found: Sequence[Predicted], classes: Sequence[str]) -> None:
    """Write annotations/STEM.xml for each picture, rounded to whole pixels as VOC counts them."""
    for one in found:
        path = folder / FOLDER / f"{one.result}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text_of(one))


def text_of(one: Predicted) -> bytes:
    """Return the XML text of a picture's boxes."""
    root = ElementTree.Element(ROOT)
    ElementTree.SubElement(root, "filename").text = PurePosixPath(one.file).name
    _fields(ElementTree.SubElement(root, "size"), {"width": one.size[0], "height": one.size[1], "depth": 3})
    for box in one.boxes:
        thing = ElementTree.SubElement(root, "object")
        _fields(thing, {"name": box.name, "difficult": int(box.ignored)})
        if box.score is not None:
            _fields(thing, {"confidence": f"{box.score:.6f}"})
        sides = {"xmin": box.left + 1, "ymin": box.top + 1, "xmax": box.right, "ymax": box.bottom}
        _fields(ElementTree.SubElement(thing, "bndbox"), {side: round(value) for side, value in sides.items()})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8") + b"\n"


def _fields(element: ElementTree.Element, values: dict[str, object]) -> None:
    for name, value in values.items():
        ElementTree.SubElement(element, name).text = str(value)


def _number(text: str | None) -> float | None:
    """Return a number of a file; None if there is none."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if abs(value) < 1e9 else None


VOC = Form("Pascal VOC (an XML file a picture)", (FOLDER,), knows, read, write)
