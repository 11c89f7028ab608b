"""All pages of a report, drawn: the PNGs and the PDF with all of them.

Promises: the PDF has the head, the map and the gallery in this order, a page each as the PNGs have it; a page is let go
once it is encoded; the same report gives the same bytes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages

from glass_edge import __version__
from glass_edge.service.report_data import ReportData
from glass_edge.service.report_gallery import draw_gallery
from glass_edge.service.report_head import draw_head
from glass_edge.service.report_map import draw_map
from glass_edge.service.report_page import DPI, GREY, HEIGHT_MM, MARGIN_MM, WIDTH_MM, Page


@dataclass(frozen=True, slots=True)
class DrawnReport:
    """Encoded pages: PNGs of map and gallery, and the whole as PDF."""

    map_pages: tuple[bytes, ...]
    gallery_pages: tuple[bytes, ...]
    pdf: bytes


def draw_pages(data: ReportData, crops: Path | None, most_pictures: int) -> DrawnReport:
    """Draw and encode everything; see `report.write_report`."""
    head, maps, gallery = draw_head(data), draw_map(data), draw_gallery(data, crops, most_pictures)
    pages = [head, *maps, *gallery]
    for number, page in enumerate(pages, start=1):
        _foot(page, f"glass-edge {__version__}", f"page {number} of {len(pages)}")
    return DrawnReport(
        map_pages=tuple(page.png() for page in maps),
        gallery_pages=tuple(page.png() for page in gallery),
        pdf=_pdf(data, pages),
    )


def _foot(page: Page, left: str, right: str) -> None:
    page.text(MARGIN_MM, HEIGHT_MM - 6, left, size_pt=7.5, colour=GREY)
    page.text(WIDTH_MM - MARGIN_MM, HEIGHT_MM - 6, right, size_pt=7.5, colour=GREY, align="right")


def _pdf(data: ReportData, pages: list[Page]) -> bytes:
    stream = io.BytesIO()
    # the time of the roll, not of the writing: the same report is the same file
    told = {"Title": data.title, "Creator": f"glass-edge {__version__}", "CreationDate": data.record.last_utc}
    with PdfPages(stream, metadata=told) as pdf:
        for page in pages:
            pdf.savefig(page.figure, dpi=DPI)
    return stream.getvalue()
