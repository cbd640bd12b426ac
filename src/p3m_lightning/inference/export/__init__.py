"""Export of networks: ONNX files, and folders for the Hugging Face Hub."""

from p3m_lightning.silence import hush

hush("huggingface_hub")  # here, before any module of the room imports it
