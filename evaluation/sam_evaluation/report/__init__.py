"""The report of a run: words, tables, figures and cases as HTML, Markdown and PNG; nothing is measured here."""
