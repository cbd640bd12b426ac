"""`p3m bench`: benchmarks; each prints JSON on its last line."""

VERBS = {
    "all": "startup, photo and step, one after another",
    "gpu": "what a CUDA GPU makes of it, all in one call",
    "growth": "photographs and batches of many sizes, and the floor under them",
    "loader": "training batches from published files and packs, against a plain loader",
    "metrics": "gradient and connectivity errors against the published procedure",
    "photo": "a photograph from file to file against the published procedure",
    "precision": "mattes in bfloat16 against those in float32",
    "startup": "what commands take before they work",
    "step": "forward pass and training step against the published procedure",
    "tables": "the speed tables of docs/results.md from the JSON files of the others",
    "upsamplers": "StyleMatte's ways from a quarter to full size",
    "video": "flicker before and after smoothing, on synthetic clips",
}
