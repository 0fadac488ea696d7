"""Tables of texts as LaTeX (booktabs) and as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MARKS = {"latex": "% written by driftproof", "markdown": "<!-- written by driftproof -->"}
"""First lines of the files, by which they are known as ours."""

_LATEX = {
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "−": "$-$",
    "–": "--",
    "×": r"$\times$",
    "µ": r"$\mu$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "…": r"\dots{}",
}


@dataclass(frozen=True)
class TextTable:
    """A table of texts.

    Attributes:
        headings: Headings of the columns.
        rows: Texts of the cells, row by row.
        notes: Sentences below the table.
        words: Number of columns, from the left, that hold words; the others hold numbers and are right-aligned.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    words: int = 1

    def latex(self) -> str:
        """Return the table for a paper that loads the package booktabs; the notes are comments."""
        columns = "l" * self.words + "r" * (len(self.headings) - self.words)
        lines = [MARKS["latex"] + r"; needs \usepackage{booktabs}"]
        lines += [f"% {note}" for note in self.notes]
        lines += [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            _latex_row(self.headings, len(self.headings)),
            r"\midrule",
        ]
        lines += [_latex_row(row, self.words) for row in self.rows]
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"

    def markdown(self) -> str:
        """Return the table for a README or a discussion, with the notes below it; its columns are aligned as text."""
        rows = [[_markdown(cell) for cell in row] for row in (self.headings, *self.rows)]
        widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(self.headings))]
        rule = ["-" * width if i < self.words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
        padded = [
            [cell.ljust(width) if i < self.words else cell.rjust(width) for i, (cell, width) in enumerate(pairs)]
            for pairs in (list(zip(row, widths, strict=True)) for row in rows)
        ]
        lines = [f"| {' | '.join(row)} |" for row in (padded[0], rule, *padded[1:])]
        notes = [_markdown(note) for note in self.notes]
        return "\n".join([MARKS["markdown"], "", *lines, "", "  \n".join(notes)]) + "\n"


def latex_text(text: str) -> str:
    r"""Return a text with LaTeX's own letters escaped.

    >>> latex_text("a_b, 5 % of {x}")
    'a\\_b, 5 \\% of \\{x\\}'
    """
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _latex_row(cells: Sequence[str], words: int) -> str:
    """Return a row; a minus in the columns after those of words is the sign of a number."""
    texts = [latex_text(cell) for cell in cells]
    texts[words:] = [re.sub(r"(?<!\w)-(?=\d)", "$-$", text) for text in texts[words:]]
    # A row that begins with [ would be taken for an argument of the line break before it.
    texts[0] = f"{{}}{texts[0]}" if texts[0].startswith("[") else texts[0]
    return f"{' & '.join(texts)} \\\\"


def _markdown(text: str) -> str:
    r"""Return a text in which nothing is Markdown.

    >>> _markdown("a|b *c* [0.1, 0.2]")
    'a\\|b \\*c\\* [0.1, 0.2]'
    """
    text = text.replace("\n", " ")
    return re.sub(r"\]\(", r"]\\(", re.sub(r"([\\|*_`<>])", r"\\\1", text))
