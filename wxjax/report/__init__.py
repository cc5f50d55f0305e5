"""JSON of a workdir in; Markdown, plots and one HTML page out. No device, no network."""

from wxjax.report.build import build as build
