"""Sound files made by hand, each as its format's specification has it."""

from __future__ import annotations

import io
import struct
import wave

from gateway.core.sound.flac import _crc8


def wav(milliseconds: int, rate: int = 24_000, channels: int = 1) -> bytes:
    """By Python's own writer."""
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(bytes(2 * channels * rate * milliseconds // 1000))
    return made.getvalue()


def mp3_frame(kbps_at: int = 9, padding: int = 0, fill: bytes = b"") -> bytes:
    """MPEG-1 layer 3 at 44.1 kHz, joint stereo; 1152 samples. 9 is 128 kbit/s."""
    kbps = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)[kbps_at]
    length = 144 * kbps * 1000 // 44_100 + padding
    head = bytes([0xFF, 0xFB, kbps_at << 4 | padding << 1, 0x44])
    return (head + fill).ljust(length, b"\0")


def mp3(frames: int, *, kbps: tuple[int, ...] = (9,), tag: int = 0, end: bool = False) -> bytes:
    head = id3(tag) if tag else b""
    sound = b"".join(mp3_frame(kbps[n % len(kbps)]) for n in range(frames))
    return head + sound + (b"TAG" + bytes(125) if end else b"")


def id3(size: int) -> bytes:
    packed = bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])
    return b"ID3\x04\x00\x00" + packed + bytes(size)


def xing(frames: int) -> bytes:
    return mp3_frame(fill=bytes(32) + b"Info" + struct.pack(">II", 1, frames))


def adts(frames: int, size: int = 300) -> bytes:
    """AAC-LC at 44.1 kHz, two channels; 1024 samples in a frame."""
    head = bytes([0xFF, 0xF1, 0x50, 0x80 | size >> 11, size >> 3 & 255, (size & 7) << 5 | 31, 0xFC])
    return (head + bytes(size - 7)) * frames


def ogg_page(packets: bytes, position: int, *, kind: int = 0, serial: int = 7, n: int = 0) -> bytes:
    segments = bytes([255] * (len(packets) // 255) + [len(packets) % 255])
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, kind, position, serial, n, 0, len(segments))
    return head + segments + packets


def opus(pages: int, *, each: int = 960, skip: int = 312, size: int = 200) -> bytes:
    head = b"OpusHead\x01\x01" + struct.pack("<HIhB", skip, 48_000, 0, 0)
    made = [ogg_page(head, 0, kind=2), ogg_page(b"OpusTags" + bytes(20), 0, n=1)]
    made += [ogg_page(bytes(size), skip + each * (n + 1), n=n + 2) for n in range(pages)]
    return b"".join(made)


def vorbis(position: int, rate: int = 44_100) -> bytes:
    head = b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 2, rate, 0, 128_000, 0, 0xB8, 1)
    return ogg_page(head, 0, kind=2) + ogg_page(bytes(300), -1) + ogg_page(bytes(300), position)


def flac_head(total: int, rate: int = 44_100, block: int = 4096) -> bytes:
    packed = rate << 44 | 1 << 41 | 15 << 36 | total
    info = struct.pack(">HH", block, block) + bytes(6) + packed.to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80\x00\x00\x22" + info


def flac_frame(number: int, size: int = 500) -> bytes:
    """A frame of 4096 samples, numbered; its body has no mark in it."""
    coded = chr(number).encode("utf-8", "surrogatepass") if number < 0x110000 else b""
    head = b"\xff\xf8\xc9\x18" + coded
    return head + bytes([_crc8(head)]) + b"\x55" * size


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def movie_header(duration: int, scale: int = 1000) -> bytes:
    return box(b"mvhd", bytes(12) + struct.pack(">II", scale, duration) + bytes(80))


def movie(duration: int, *more: bytes, scale: int = 1000) -> bytes:
    return box(b"moov", movie_header(duration, scale) + b"".join(more))


def mp4(duration: int, *, last: bool = False, data: int = 1000, table: int = 0) -> bytes:
    moov = movie(duration, box(b"trak", bytes(table)))
    start = box(b"ftyp", b"M4A \0\0\0\0")
    return start + (box(b"mdat", bytes(data)) + moov if last else moov + box(b"mdat", bytes(data)))


def element(name: int, content: bytes, *, endless: bool = False) -> bytes:
    wide = (name.bit_length() + 7) // 8
    size = b"\x01" + b"\xff" * 7 if endless else (1 << 56 | len(content)).to_bytes(8, "big")
    return name.to_bytes(wide, "big") + size + content


def webm(duration: float | None, *, clusters: int = 2, size: int = 100, blocks: int = 50) -> bytes:
    """Clusters of a second, in blocks of twenty milliseconds, as browsers record them."""
    known = b"" if duration is None else element(0x4489, struct.pack(">d", duration))
    info = element(0x1549A966, element(0x2AD7B1, (1_000_000).to_bytes(3, "big")) + known)
    made = b""
    for n in range(clusters):
        inner = element(0xE7, (n * 20 * blocks).to_bytes(4, "big"))
        for block in range(blocks):
            inner += element(0xA3, b"\x81" + struct.pack(">h", block * 20) + b"\x80" + bytes(size))
        made += element(0x1F43B675, inner, endless=duration is None)
    head = element(0x1A45DFA3, element(0x4282, b"webm"))
    return head + element(0x18538067, info + made, endless=True)
