"""Definitions of the metrics: the keys of every convention, and the words printed beside them."""

P3M = {
    "sad": "sum of |pred - gt| over all pixels / 1000",
    "mse": "mean of (pred - gt)^2 over all pixels",
    "mad": "mean of |pred - gt| over all pixels",
    "sad_unknown": "pred set to 0 / 1 in the trimap's background / foreground; sum of |pred - gt| / 1000",
    "mse_unknown": "pred set likewise; sum of (pred - gt)^2 / unknown pixels; 0 without any",
    "mad_unknown": "pred set likewise; sum of |pred - gt| / unknown pixels; 0 without any",
    "sad_foreground": "sum of |pred - gt| over the trimap's foreground / 1000",
    "sad_background": "sum of |pred - gt| over the trimap's background / 1000",
    "gradient": "sum of squared differences of Gaussian gradient magnitudes (sigma 1.4, kernel of unit sum) / 10",
    "connectivity": "sum of differences of connectivity degrees (step 0.1, 4 neighbors) over all pixels / 1000",
}
"""Li et al., "Privacy-Preserving Portrait Matting", ACM MM 2021; whole image unless the name says a region."""

FACE = {
    "sad_face": "sum of |pred - gt| inside the face mask / 1000",
    "mse_face": "mean of (pred - gt)^2 inside the face mask",
    "mad_face": "mean of |pred - gt| inside the face mask",
}
"""The score inside the obfuscated face that came with P3M's second generation; only where there is a face."""

_KNOWN_SET = "unknown pixels only, pred set to 0 / 1 in the known ones before"

ADOBE = {
    "sad": "sum of |pred - gt| over all pixels / 1000",
    "mse": "mean of (pred - gt)^2 over all pixels",
    "gradient": "sum of squared differences of Gaussian gradient magnitudes (sigma 1.4, kernel of unit norm), "
    "each matte stretched to [0, 1] before, / 1000",
    "connectivity": "sum of differences of connectivity degrees (step 0.1, 4 neighbors, in float32) / 1000",
    "sad_unknown": f"as sad; {_KNOWN_SET}",
    "mse_unknown": f"as mse; {_KNOWN_SET}",
    "gradient_unknown": f"as gradient; {_KNOWN_SET}",
    "connectivity_unknown": f"as connectivity; {_KNOWN_SET}",
}
"""The scripts of Xu et al., "Deep Image Matting", CVPR 2017, as its followers use them."""

IOU = {"iou": "intersection over union of the parts of pred and mask above 1/2"}
"""Where the label is a mask or a trimap; the other metrics then leave out the band around its edge."""

HIGHER_IS_BETTER = frozenset(IOU)
"""The keys of agreement; all others are errors."""

MASK = {
    **IOU,
    "sad": "sum of |pred - mask| over all pixels / 1000",
    "sad_known": "sum of |pred - mask| outside the band around the mask's edge / 1000",
    "mad_known": "mean of |pred - mask| outside the band around the mask's edge",
}
"""Agreement with masks, whose edges are no truth about hair."""
