"""A callback for runs of several processes: all hold the same weights, and none draws another's noise."""

import torch
from pytorch_lightning import Callback


class SameWeights(Callback):
    """Compare the processes after every step."""

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        weights = torch.cat([p.detach().flatten() for p in module.parameters() if p.requires_grad])
        everywhere = module.all_gather(weights)
        assert torch.equal(everywhere[0], everywhere[1])
        noise = module.all_gather(torch.rand(4))
        assert not torch.equal(noise[0], noise[1])
        assert not torch.equal(*module.all_gather(batch["rgba"]))
