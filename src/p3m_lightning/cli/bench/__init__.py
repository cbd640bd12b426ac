"""`p3m bench`: benchmarks; each prints JSON on its last line."""

VERBS = {
    "metrics": "gradient and connectivity errors against the published procedure",
    "upsamplers": "StyleMatte's ways from a quarter to full size",
    "video": "flicker before and after smoothing, on synthetic clips",
}
