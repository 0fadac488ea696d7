"""``python -m site_pages FOLDER``: write the pages of the site into a folder."""

from __future__ import annotations

import sys
from pathlib import Path

from site_pages.assemble import write_pages

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m site_pages FOLDER")
    write_pages(Path(sys.argv[1]))
