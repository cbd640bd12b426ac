"""Engines that run networks: PyTorch, compiled or not, ONNX Runtime, OpenVINO; and the choice among them."""
