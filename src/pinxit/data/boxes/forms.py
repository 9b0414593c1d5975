"""The forms that annotations of boxes have, by name."""

from pinxit.data.boxes.box import Form
from pinxit.data.boxes.coco import COCO
from pinxit.data.boxes.voc import VOC
from pinxit.data.boxes.yolo import YOLO

FORMS: dict[str, Form] = {"coco": COCO, "voc": VOC, "yolo": YOLO}
"""In the order in which they are looked for."""
