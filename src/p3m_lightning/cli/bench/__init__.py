"""`p3m bench`: benchmarks; each prints JSON on its last line."""

VERBS = {
    "all": "startup, photo and step, one after another",
    "gpu": "all measurements that need a CUDA GPU, in one call",
    "growth": "time and memory over sizes of photographs and batches, with lower bounds",
    "loader": "training batches from published files and packs, against a plain loader",
    "metrics": "gradient and connectivity errors against the published procedure",
    "photo": "a photograph from file to file against the published procedure",
    "precision": "mattes in bfloat16 against those in float32",
    "startup": "the time commands take before they start to work",
    "step": "forward pass and training step against the published procedure",
    "tables": "the speed tables of docs/results.md from the JSON files of the others",
    "upsamplers": "the upsamplers of StyleMatte, from quarter to full size",
    "video": "flicker before and after smoothing, on synthetic clips",
}
