"""The pages of the documentation site: what is written in ``docs``, and what is made from presets, code and results.

``make docs`` runs ``python -m site_pages FOLDER``, which fills a folder with Markdown files and pictures, and then
``mkdocs build``. This package is part of the project's checkout and not of driftproof's public interface.
"""
