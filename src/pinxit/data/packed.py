"""Sets that were packed here before, opened by their fingerprint, whatever has become of their source."""

from __future__ import annotations

from pinxit.data.pack import Pack, pack_path
from pinxit.data.pairs import open_record, record_path
from pinxit.data.sets import DataSet, divide, parse_spec, whole_pack
from pinxit.data.settings import HOLDOUT


def is_packed(fingerprint: str) -> bool:
    """Return whether the set of a fingerprint is in the cache."""
    return pack_path(fingerprint).exists() or record_path(fingerprint).exists()


def open_packed(fingerprint: str, spec: str, holdout: float = HOLDOUT) -> DataSet:
    """Open a packed set, with its masks and pairs if it has any; `spec` is what it was opened by."""
    joined = record_path(fingerprint).exists()
    whole = open_record(fingerprint) if joined else whole_pack(Pack(pack_path(fingerprint)))
    return divide(whole, *parse_spec(spec), holdout, ())
