"""`p3m data`: build and inspect data sets."""

VERBS = {
    "synthesize": "render portraits with exact mattes in the layout of P3M-10k",
    "check": "find faults in a data set: missing pairs, broken files, wrong ranges, leakage",
    "people": "find people in photographs meant as backgrounds",
    "foregrounds": "estimate and cache the foreground and background of every training image",
    "pack": "store decoded pixels in tiles for faster loading",
    "anonymize": "obfuscate faces the way P3M-10k does",
    "audit": "measure how anonymous anonymized faces are",
}
