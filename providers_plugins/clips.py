"""What a client asks of a video, in the house's words or in OpenAI's; read once for every host."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from gateway.sdk import Call, Fault, File, Usage, invalid

_SECONDS = ("duration_seconds", "duration", "seconds")
_FIRST = ("image", "image_url", "input_reference")
_LAST = ("last_frame",)
_RATIO = re.compile(r"([1-9][0-9]{0,2}):([1-9][0-9]{0,2})")
_SIZE = re.compile(r"([1-9][0-9]{1,4})[x*×]([1-9][0-9]{1,4})")
_LABEL = re.compile(r"([1-9][0-9]{0,3})([pk])")
_WHOLE = re.compile(r"[0-9]{1,4}")
_NUMBER = re.compile(r"-?[0-9]{1,19}")
_DATA = re.compile(r"data:(image/[A-Za-z0-9.+-]{1,60});base64,(?=[A-Za-z0-9+/=_-])")
_PLAIN_TYPE = re.compile(r"image/[A-Za-z0-9.+-]{1,60}")
_USUAL = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21")
_FOUR_K = {"2160p": "4k"}
_SWITCHES = {"true": True, "false": False}
_READ = frozenset({
    "model", "stream", "stream_options", "prompt", "size", "resolution", "aspect_ratio", "n",
    *_SECONDS, *_FIRST, *_LAST,
})  # fmt: skip
# Without these it would be another film: they are refused, not lost.
_OTHER_WORK = ("video", "video_url", "input_video", "reference_images", "characters")


class Picture(Struct, frozen=True):
    """A picture that a client sent: an address or data in `url`, a file, or a provider's id."""

    member: str
    url: str = ""
    file: File | None = None
    file_id: str = ""

    @property
    def data(self) -> tuple[str, str] | None:
        """The media type and the base64 of a data URL."""
        found = _DATA.match(self.url)
        return (found[1], self.url[found.end() :]) if found else None


class Clip(Struct, frozen=True):
    """What is asked for. `resolution` and `aspect` are what was said, or what the size comes to."""

    prompt: str = ""
    seconds: int | None = None
    size: tuple[int, int] | None = None
    resolution: str = ""
    aspect: str = ""
    first: Picture | None = None
    last: Picture | None = None

    @property
    def measure(self) -> str:
        """The member that says how large the picture is to be."""
        return "size" if self.size else "resolution"

    @property
    def shape(self) -> str:
        """The member that says how wide it is to be."""
        return "size" if self.size else "aspect_ratio"


def asked(call: Call) -> Clip:
    """Read it, or refuse what contradicts itself or cannot be."""
    _refuse_other_work(call)
    first, last = _picture(call, _FIRST), _picture(call, _LAST)
    prompt = text(call, "prompt")
    if not prompt.strip() and first is None:
        raise invalid("'prompt' is required: say what the video should show.", "prompt")
    size = _size(call)
    return Clip(
        prompt=prompt,
        seconds=seconds(call),
        size=size,
        resolution=_agreed(call, "resolution", _label(call), size and label_of(size)),
        aspect=_agreed(call, "aspect_ratio", _ratio(call), size and _ratio_of(size)),
        first=first,
        last=last,
    )


def seconds(call: Call) -> int | None:
    """How long it should last, whichever member says so."""
    found: dict[int, str] = {}
    for name in _SECONDS:
        given = call.body.value(name)
        if given is None:
            continue
        whole = int(given) if isinstance(given, str) and _WHOLE.fullmatch(given) else given
        if isinstance(whole, bool) or not isinstance(whole, int | float) or whole != int(whole):
            raise invalid(f"'{name}' must be a whole number of seconds.", name)
        if not 1 <= whole <= 3600:
            raise invalid(f"'{name}' must be from 1 to 3600 seconds.", name)
        found[int(whole)] = name
    if len(found) > 1:
        raise invalid("'duration' and its other names disagree: give one.", list(found.values())[1])
    return next(iter(found), None)


def fitted(call: Call, offered: tuple[int, ...], usual: int) -> tuple[int, tuple[str, ...]]:
    """The length to ask for, and the member that is thereby lost, if any.

    Between two lengths that are offered it is the shorter one: nobody pays for more than they
    asked for. Outside of all of them it is refused.
    """
    wish = seconds(call)
    if wish is None:
        return usual, ()
    if wish in offered:
        return wish, ()
    member = next(name for name in _SECONDS if call.body.value(name) is not None)
    if not offered[0] <= wish <= offered[-1]:
        shown = ", ".join(map(str, offered))
        raise invalid(f"This model makes videos of {shown} seconds, not {wish}.", member)
    return max(one for one in offered if one < wish), (member,)


def text(call: Call, name: str) -> str:
    """A member that is a string; empty where it is not there."""
    given = call.body.value(name)
    if given is None or isinstance(given, str):
        return given or ""
    raise invalid(f"'{name}' must be a string.", name)


def switch(call: Call, name: str) -> bool | None:
    """A member that is true or false, in a form as a word."""
    given = call.body.value(name)
    if given is None or isinstance(given, bool):
        return given
    known = _SWITCHES.get(given) if isinstance(given, str) else None
    if known is None:
        raise invalid(f"'{name}' must be true or false.", name)
    return known


def seed(call: Call) -> int | None:
    """A number to begin from, in a form as a word."""
    given = call.body.value("seed")
    if isinstance(given, str) and _NUMBER.fullmatch(given):
        given = int(given)
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    raise invalid("'seed' must be a whole number.", "seed")


def spent(length: int, clip: Clip) -> Usage:
    """What a video of this many seconds will use."""
    return Usage(milliseconds=1000 * length, size=clip.resolution)


def left_out(call: Call, taken: Iterable[str], lost: Iterable[str] = ()) -> tuple[str, ...]:
    """The client's members that a host is not told of; `taken` are those beyond the usual ones."""
    known = _READ | set(taken)
    names = [
        *lost,
        *(name for name in call.body.names() if name not in known and _said(call, name)),
    ]
    return tuple(dict.fromkeys(names))


def as_sent(call: Call, names: Iterable[str]) -> dict[str, Any]:
    """Members by a host's own names, as the client gave them."""
    return {name: call.body.value(name) for name in names if _said(call, name)}


def refuse_last(clip: Clip) -> None:
    """For hosts that take no last picture: without it the video would be another one."""
    if clip.last is not None:
        raise invalid("This model takes no last picture: leave it out.", clip.last.member)


def refuse_shape(clip: Clip, offered: Iterable[str]) -> Fault:
    """The refusal of a shape that a host does not offer."""
    shown = ", ".join(offered)
    return invalid(f"This model makes videos of the shapes {shown}, not {clip.aspect}.", clip.shape)


def refuse_measure(clip: Clip, offered: Iterable[str]) -> Fault:
    """The refusal of a resolution that a host does not offer."""
    shown = ", ".join(offered)
    said = "x".join(map(str, clip.size)) if clip.size else clip.resolution
    return invalid(f"This model makes videos of {shown}, not {said}.", clip.measure)


class Pictures:
    """Pictures as a host takes them that wants a URL: files become marks in a body of JSON."""

    def __init__(self, call: Call) -> None:
        self.files: list[tuple[str, File]] = []
        self._boundary = call.boundary

    def url(self, picture: Picture) -> str:
        """An address, or the picture itself as a data URL."""
        if picture.file is not None:
            return f"data:{type_of(picture.file)};base64,{self.mark(picture.file)}"
        if picture.url.startswith(("https://", "data:")):
            return picture.url
        raise invalid(
            f"'{picture.member}' must be an https URL, a base64 data URL or a file.", picture.member
        )

    def mark(self, file: File) -> str:
        """What stands for a file's base64 until the body is sent; nobody can guess it."""
        self.files.append((f"{self._boundary}-{len(self.files)}", file))
        return self.files[-1][0]


def type_of(file: File) -> str:
    """A picture file's media type, fit to be written down."""
    return file.content_type if _PLAIN_TYPE.fullmatch(file.content_type) else "image/png"


def _said(call: Call, name: str) -> bool:
    return call.body.get(name) not in (None, b"null")


def _refuse_other_work(call: Call) -> None:
    for name in _OTHER_WORK:
        if _said(call, name):
            raise invalid(
                f"'{name}' is not offered here: a video is made from words, and from a first and "
                "a last picture.",
                name,
            )
    if call.body.value("n") not in (None, 1, "1", 1.0):
        raise invalid("One video is made at a time: leave 'n' out, and call again.", "n")


def _picture(call: Call, members: tuple[str, ...]) -> Picture | None:
    found = [Picture(one.field, file=one) for one in call.files if one.field in members]
    found += [_linked(call, name) for name in members if _said(call, name)]
    if len(found) > 1:
        raise invalid("Only one picture is taken here: give one.", found[1].member)
    return found[0] if found else None


def _linked(call: Call, name: str) -> Picture:
    given = call.body.value(name)
    if isinstance(given, dict):
        inner = given.get("image_url", given.get("url"))
        if inner is None and isinstance(given.get("file_id"), str):
            return Picture(name, file_id=given["file_id"][:512])
        given = inner.get("url") if isinstance(inner, dict) else inner
    if not isinstance(given, str):
        raise invalid(f"'{name}' must be an https URL or a data URL of a picture.", name)
    picture = Picture(name, url=given)
    if given.startswith(("https://", "gs://")) or picture.data:
        return picture
    raise invalid(f"'{name}' must be an https URL or a base64 data URL of a picture.", name)


def _size(call: Call) -> tuple[int, int] | None:
    given = text(call, "size")
    if not given or given == "auto":
        return None
    found = _SIZE.fullmatch(given)
    if found is None:
        raise invalid("'size' must be a width and a height, like '1280x720'.", "size")
    return int(found[1]), int(found[2])


def _label(call: Call) -> str:
    given = text(call, "resolution").lower()
    if given and given != "auto" and not _LABEL.fullmatch(given):
        raise invalid("'resolution' must be like '720p', '1080p' or '4k'.", "resolution")
    return "" if given == "auto" else _FOUR_K.get(given, given)


def _ratio(call: Call) -> str:
    given = text(call, "aspect_ratio")
    if given and given != "auto" and not _RATIO.fullmatch(given):
        raise invalid("'aspect_ratio' must be like '16:9' or '9:16'.", "aspect_ratio")
    return "" if given == "auto" else given


def _agreed(call: Call, name: str, said: str, meant: str | None) -> str:
    if said and meant and said != meant:
        raise invalid(f"'size' and '{name}' disagree: give one of them.", name)
    return said or meant or ""


def label_of(size: tuple[int, int]) -> str:
    """What a size is called, and priced as."""
    short = f"{min(size)}p"
    return _FOUR_K.get(short, short)


def _ratio_of(size: tuple[int, int]) -> str:
    """The usual shape that comes nearest: sizes are rounded to what encoders take."""
    wide = size[0] / size[1]

    def apart(ratio: str) -> float:
        left, right = ratio.split(":")
        return abs(wide * int(right) / int(left) - 1)

    return min(_USUAL, key=apart)
