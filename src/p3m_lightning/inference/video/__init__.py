"""Video matting with networks for photographs: mattes, cut-outs and composites of whole clips."""

from p3m_lightning.inference.video.formats import FORMATS, Product, choose_format
from p3m_lightning.inference.video.matting import matte_video
from p3m_lightning.inference.video.smoothing import SMOOTHINGS, smooth

__all__ = ["FORMATS", "SMOOTHINGS", "Product", "choose_format", "matte_video", "smooth"]
