"""Media types by file name: one table, the same on every machine.

The standard ``mimetypes`` reads the files of the machine it runs on, so that one folder is served with
different types in different places; this table does not. Text is UTF-8 and says so.
"""

from __future__ import annotations

from collections.abc import Mapping

from portico.errors import ConfigError

__all__ = ["UNKNOWN", "compressible", "media_type", "table_of"]

UNKNOWN = "application/octet-stream"
"""What is sent for a name without a known ending: bytes, to be saved."""

_GROUPS = {
    # Text; these get a charset.
    "text/html": "html htm xht",
    "text/css": "css",
    "text/javascript": "js mjs",  # RFC 9239: application/javascript is obsolete
    "text/plain": "txt text log conf cfg ini toml diff patch tex srt py pyi c h cc cpp hpp rs go java sh pl",
    "text/markdown": "md markdown",
    "text/csv": "csv",
    "text/tab-separated-values": "tsv",
    "text/calendar": "ics ifb",
    "text/vcard": "vcf vcard",
    "text/vtt": "vtt",
    "text/x-rst": "rst",
    "text/jsx": "jsx",
    # Structured text with an encoding of its own (JSON is always UTF-8, XML declares it).
    "application/json": "json map",
    "application/ld+json": "jsonld",
    "application/geo+json": "geojson",
    "application/jsonl": "jsonl ndjson",
    "application/manifest+json": "webmanifest",
    "application/yaml": "yaml yml",
    "application/xml": "xml xsl xsd",
    "application/xhtml+xml": "xhtml",
    "application/xslt+xml": "xslt",
    "application/rss+xml": "rss",
    "application/atom+xml": "atom",
    "application/gpx+xml": "gpx",
    "application/vnd.google-earth.kml+xml": "kml",
    "application/sql": "sql",
    "application/rtf": "rtf",
    "application/pgp-signature": "asc sig",
    "image/svg+xml": "svg",
    # Images
    "image/png": "png",
    "image/apng": "apng",
    "image/jpeg": "jpg jpeg jpe jfif",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/heic": "heic",
    "image/jxl": "jxl",
    "image/bmp": "bmp",
    "image/tiff": "tif tiff",
    "image/x-icon": "ico",
    # Fonts
    "font/woff": "woff",
    "font/woff2": "woff2",
    "font/ttf": "ttf",
    "font/otf": "otf",
    "font/collection": "ttc",
    "application/vnd.ms-fontobject": "eot",
    # Sound and film
    "audio/mpeg": "mp3",
    "audio/mp4": "m4a",
    "audio/aac": "aac",
    "audio/ogg": "ogg oga opus",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/midi": "mid midi",
    "audio/webm": "weba",
    "video/mp4": "mp4 m4v",
    "video/webm": "webm",
    "video/ogg": "ogv",
    "video/mpeg": "mpeg mpg",
    "video/quicktime": "mov",
    "video/mp2t": "ts m2ts",
    "video/x-msvideo": "avi",
    "video/matroska": "mkv",
    "video/3gpp": "3gp",
    "application/vnd.apple.mpegurl": "m3u8",
    "application/dash+xml": "mpd",
    # Programs and data
    "application/wasm": "wasm",
    "application/pdf": "pdf",
    "application/postscript": "ps eps",
    "application/epub+zip": "epub",
    "application/java-archive": "jar war",
    "application/vnd.android.package-archive": "apk",
    "application/vnd.sqlite3": "sqlite sqlite3",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.apache.arrow.file": "arrow",
    "model/gltf-binary": "glb",
    "model/gltf+json": "gltf",
    "model/stl": "stl",
    # Archives: sent as they are, never announced as a Content-Encoding
    "application/zip": "zip whl",
    "application/gzip": "gz tgz",
    "application/zstd": "zst",
    "application/x-bzip2": "bz2",
    "application/x-xz": "xz",
    "application/x-7z-compressed": "7z",
    "application/x-tar": "tar",
    "application/vnd.rar": "rar",
    "application/vnd.debian.binary-package": "deb",
    "application/x-rpm": "rpm",
    "application/x-bittorrent": "torrent",
    # Office
    "application/msword": "doc",
    "application/vnd.ms-excel": "xls",
    "application/vnd.ms-powerpoint": "ppt",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.oasis.opendocument.text": "odt",
    "application/vnd.oasis.opendocument.spreadsheet": "ods",
    "application/vnd.oasis.opendocument.presentation": "odp",
}


def _with_charset(kind: str) -> str:
    return f"{kind}; charset=utf-8" if kind.startswith("text/") and ";" not in kind else kind


_TABLE = {
    ending.encode(): _with_charset(kind) for kind, endings in _GROUPS.items() for ending in endings.split()
}


def table_of(extra: Mapping[str, str] | None = None) -> Mapping[bytes, str]:
    """The table, with some endings added or replaced: ``{".foo": "text/x-foo"}``.

    A text type without parameters gets ``charset=utf-8``. Raises ``ConfigError`` for an ending without
    its dot and for what is no media type.
    """
    if not extra:
        return _TABLE
    added = {}
    for ending, kind in extra.items():
        if not ending.startswith(".") or "." in ending[1:]:
            raise ConfigError(f"types: {ending!r} is no ending of a file name; write it like '.html'")
        if "/" not in kind or not kind.isprintable() or not kind.isascii():
            raise ConfigError(f"types: {kind!r} is no media type; write it like 'text/html'")
        added[ending[1:].lower().encode()] = _with_charset(kind)
    return {**_TABLE, **added}


def media_type(name: bytes, table: Mapping[bytes, str] = _TABLE) -> str:
    """The media type for a file name, by its last ending in any case; ``UNKNOWN`` for others."""
    stem, _, ending = name.rpartition(b".")
    return table.get(ending.lower(), UNKNOWN) if stem else UNKNOWN


_COMPRESSIBLE = frozenset(
    "application/json application/ld+json application/jsonl application/x-ndjson application/yaml "
    "application/xml application/javascript application/sql application/rtf application/wasm "
    "application/postscript application/vnd.apple.mpegurl application/vnd.ms-fontobject "
    "application/x-javascript application/x-www-form-urlencoded application/msword "
    "font/ttf font/otf font/collection image/bmp image/x-icon image/svg+xml model/stl".split()
)


def compressible(kind: str) -> bool:
    """Whether content of a media type gets smaller: text in any form, and formats that hold bare data."""
    essence = kind.partition(";")[0].strip().lower()
    return essence.startswith("text/") or essence in _COMPRESSIBLE or essence.endswith(("+json", "+xml"))
