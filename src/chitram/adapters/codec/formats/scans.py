"""The scans of a JPEG: which part of the picture each of them brings, and what they cost together."""

from chitram.adapters.codec.formats.structure import corrupt, truncated
from chitram.domain.errors import InvalidFileFormat, InvalidReason

#: A progressive file of the usual encoders has 10 scans; hundreds of them serve to burn time.
_MAX_SCANS = 100
#: Pixels times scans: the usual 10 scans of 100 megapixels are half of it. Each scan walks over the whole picture.
MAX_SCANNED_PIXELS = 2_000_000_000
_COEFFICIENTS = 64


class Scans:
    """What the scans have brought so far of the picture that `frame`, a frame header, announces."""

    def __init__(self, frame: bytes, *, progressive: bool) -> None:
        self.count = 0
        self._progressive = progressive
        height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
        self._pixels = width * height
        sampling = [(byte >> 4) * (byte & 15) for byte in frame[7::3]]
        widest, highest = max(byte >> 4 for byte in frame[7::3]), max(byte & 15 for byte in frame[7::3])
        self._samples = self._pixels * sum(sampling) // (widest * highest)
        #: Component → for each of its coefficients how many low bits are still missing; None before any has come.
        self._missing: dict[int, list[int | None]] = {byte: [None] * _COEFFICIENTS for byte in frame[6::3]}

    @property
    def buffered_bytes(self) -> int:
        """Memory for the coefficients, which a decoder holds as a whole if they come in more than one scan."""
        return 2 * self._samples if self._progressive or self.count > 1 else 0

    def add(self, header: bytes) -> None:
        """Take note of a scan. `header`: what follows the length of its segment."""
        self.count += 1
        components = header[1 : 1 + 2 * header[0] : 2] if header else b""
        if self.count > _MAX_SCANS or len(header) != 4 + 2 * len(components) or not components:
            raise corrupt("its scans are impossible, or too many")
        if self.count * self._pixels > MAX_SCANNED_PIXELS:
            message = f"The picture has more than {MAX_SCANNED_PIXELS:,} pixels in all of its scans together."
            raise InvalidFileFormat(InvalidReason.TOO_MANY_PIXELS, message)
        first, last, low = header[-3], header[-2], header[-1] & 15
        if not self._progressive:
            first, last, low = 0, _COEFFICIENTS - 1, 0
        if first > last or last >= _COEFFICIENTS or any(component not in self._missing for component in components):
            raise corrupt("a scan is of something that is not in the picture")
        for component in components:
            self._missing[component][first : last + 1] = [low] * (last + 1 - first)

    def finish(self) -> None:
        """Raise unless all of the picture has come: a file that was cut off and closed again lacks its last scans."""
        if self.count == 0:
            raise corrupt("it has no picture data")
        if any(any(missing != 0 for missing in bits) for bits in self._missing.values()):
            raise truncated()
