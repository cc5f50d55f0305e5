"""JSON of a workdir in; Markdown, plots and one HTML page out. No device, no network."""
