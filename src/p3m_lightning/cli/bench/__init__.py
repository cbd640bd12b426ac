"""`p3m bench`: benchmarks; each prints JSON on its last line."""

VERBS = {
    "loader": "training batches from published files and packs, against a plain loader",
    "metrics": "gradient and connectivity errors against the published procedure",
    "upsamplers": "StyleMatte's ways from a quarter to full size",
    "video": "flicker before and after smoothing, on synthetic clips",
}
