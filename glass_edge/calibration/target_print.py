"""The target as SVG and as PDF.

Promises: both are vector drawings of `Target.rectangles` at true size: the page's size is stated in mm (SVG) or in
points of 1/72 inch (PDF), and one unit of the drawing is one millimetre; no fonts are embedded and none matter.
Source of the PDF's structure: ISO 32000-1, sections 7.5 (file structure) and 8.5 (paths).
"""

from __future__ import annotations

from glass_edge.calibration.target import MARGIN_MM, TEXT_HEIGHT_MM, Target

_POINTS_PER_MM = 72.0 / 25.4
_MAX_PDF_MM = 14_400 / _POINTS_PER_MM
_TEXT_MM = 3.0


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def to_svg(target: Target) -> str:
    """The drawing as SVG 1.1."""
    width, height = target.page_mm
    size = f'width="{_number(width)}mm" height="{_number(height)}mm" viewBox="0 0 {_number(width)} {_number(height)}"'
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" version="1.1" {size}>']
    lines.append(f'<rect x="0" y="0" width="{_number(width)}" height="{_number(height)}" fill="#ffffff"/>')
    lines.append('<g fill="#000000" stroke="none">')
    for box in target.rectangles():
        x, y, wide, high = (_number(value) for value in box)
        lines.append(f'<rect x="{x}" y="{y}" width="{wide}" height="{high}"/>')
    baseline = height - MARGIN_MM - TEXT_HEIGHT_MM / 3
    text = f'x="{_number(MARGIN_MM)}" y="{_number(baseline)}" font-size="{_number(_size(target))}"'
    lines += [f'<text {text} font-family="Helvetica, Arial, sans-serif">{target.caption()}</text>', "</g>", "</svg>"]
    return "\n".join(lines) + "\n"


def _size(target: Target) -> float:
    """Height of the text, mm: small enough for the page (a letter is about half as wide as high)."""
    return min(_TEXT_MM, (target.page_mm[0] - 2 * MARGIN_MM) / (0.52 * len(target.caption())))


def to_pdf(target: Target) -> bytes:
    """The drawing as a PDF 1.4 of one page.

    Raises:
        ValueError: the page is longer than PDF allows (5080 mm).
    """
    width, height = target.page_mm
    if max(width, height) > _MAX_PDF_MM:
        raise ValueError(f"a page of {width:g} x {height:g} mm; PDF allows {_MAX_PDF_MM:.0f} mm")
    scale = _number(_POINTS_PER_MM)
    draw = [f"{scale} 0 0 {scale} 0 0 cm", "0 g"]
    for box in target.rectangles():
        corner = (box.x_mm, height - box.y_mm - box.height_mm, box.width_mm, box.height_mm)
        draw.append(" ".join(_number(value) for value in corner) + " re")
    draw.append("f")
    caption = target.caption().replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
    base = MARGIN_MM + TEXT_HEIGHT_MM / 3
    draw.append(f"BT /F1 {_number(_size(target))} Tf {_number(MARGIN_MM)} {_number(base)} Td ({caption}) Tj ET")
    content = "\n".join(draw).encode("ascii")
    page = f"{_number(width * _POINTS_PER_MM)} {_number(height * _POINTS_PER_MM)}"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {page}] /Contents 4 0 R "
            "/Resources << /Font << /F1 5 0 R >> >> >>"
        ).encode("ascii"),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(out)
