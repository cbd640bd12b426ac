"""`p3m bench`: benchmarks; each prints JSON on its last line."""

VERBS = {
    "all": "run startup, photo and step one after another",
    "gpu": "run all measurements that need a CUDA GPU",
    "growth": "measure time and memory over sizes of photographs and batches, with lower bounds",
    "loader": "time training batches from published files and packs against a plain loader",
    "metrics": "time the gradient and connectivity errors against the published procedure",
    "photo": "time a photograph from file to file against the published procedure",
    "precision": "compare mattes in bfloat16 with those in float32",
    "startup": "measure how long commands take to start",
    "step": "time the forward pass and the training step against the published procedure",
    "tables": "write the speed tables of docs/results.md from the JSON files of the other benchmarks",
    "upsamplers": "compare the upsamplers of StyleMatte, from quarter to full size",
    "video": "measure flicker before and after smoothing, on synthetic clips",
}
