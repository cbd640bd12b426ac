"""Training losses: functions on tensors, and one loss object per paper that returns named, unweighted terms.

An object is called as `loss(output, batch) -> {term: scalar}`; the weights of its terms are in conf/loss/. Three
Laplacian losses are in use in the field: `laplacian_loss` (P3M, GFM), `binomial_laplacian_loss` (StyleMatte) and
`weighted_laplacian_loss` (RVM, ViTMatte).
"""

from p3m_lightning.losses.alpha import (
    AlphaLoss,
    alpha_loss,
    composition_loss,
    gradient_loss,
    laplacian_loss,
    mrsd_loss,
)
from p3m_lightning.losses.base import Loss
from p3m_lightning.losses.hausdorff import boundary_distance, hausdorff_distance_loss, hausdorff_erosion_loss
from p3m_lightning.losses.modnet import (
    MODNetConsistencyLoss,
    MODNetLoss,
    consistency_terms,
    detail_loss,
    matte_loss,
    semantic_loss,
)
from p3m_lightning.losses.p3m import (
    P3M_COLOR_SCALE,
    GFMLoss,
    P3MLoss,
    classes_from_codes,
    opaque_loss,
    trimap_loss,
)
from p3m_lightning.losses.stylematte import (
    StyleMatteMattingLoss,
    StyleMatteSegmentationLoss,
    binomial_laplacian_loss,
    dice_loss,
)
from p3m_lightning.losses.vitmatte import ViTMatteLoss, flat_gradient_loss, weighted_laplacian_loss

__all__ = [
    "P3M_COLOR_SCALE",
    "AlphaLoss",
    "GFMLoss",
    "Loss",
    "MODNetConsistencyLoss",
    "MODNetLoss",
    "P3MLoss",
    "StyleMatteMattingLoss",
    "StyleMatteSegmentationLoss",
    "ViTMatteLoss",
    "alpha_loss",
    "binomial_laplacian_loss",
    "boundary_distance",
    "classes_from_codes",
    "composition_loss",
    "consistency_terms",
    "detail_loss",
    "dice_loss",
    "flat_gradient_loss",
    "gradient_loss",
    "hausdorff_distance_loss",
    "hausdorff_erosion_loss",
    "laplacian_loss",
    "matte_loss",
    "mrsd_loss",
    "opaque_loss",
    "semantic_loss",
    "trimap_loss",
    "weighted_laplacian_loss",
]
