"""A catalog from a file: read, decode, fill in, check, compile. Raises CatalogError alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gateway.catalog import document
from gateway.catalog.check import check
from gateway.catalog.compile import Catalog, compile_catalog
from gateway.catalog.decode import decode
from gateway.catalog.environment import substitute
from gateway.catalog.problems import CatalogError, Problem

__all__ = ["Catalog", "CatalogError", "Problem", "load", "parse"]


def load(path: Path, environ: Mapping[str, str]) -> Catalog:
    """The catalog in a file."""
    return parse(read_file(path), environ, path.name)


def read_file(path: Path) -> bytes:
    """The file's bytes, never more than one over the limit, so that a huge one is only refused."""
    try:
        with path.open("rb") as file:
            return file.read(document.MAX_BYTES + 1)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CatalogError([Problem(path.name, 1, "", f"can't be read: {reason}")]) from None


def parse(raw: bytes, environ: Mapping[str, str], file: str = "catalog.yaml") -> Catalog:
    """The catalog in the bytes of a file."""
    read = document.read(raw, file)
    report = read.report
    substitute(read.root, environ, report)
    decoded = decode(read.root, report)
    check(decoded, report)
    report.raise_if_any()
    catalog = compile_catalog(decoded, raw, report)
    report.raise_if_any()
    return catalog
