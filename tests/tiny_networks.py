"""Narrow forms of the networks, so that the suite stays quick; one that is not listed is tested as it is."""

_WIDE = ("p3mnet_r34", "p3mnet_swin_t", "p3mnet_vitae_s", "basic", "modnet", "gfm_r34_tt", "gfm_d121_tt", "dim")
TINY = {name: {"width": 0.125} for name in (*_WIDE, "vitmatte_small", "vitmatte_base")} | {
    "p3mnet": {"encoder": "mobilenetv3_small_050", "pretrained": None, "stem_width": 8, "decoder_width": 0.25},
    "stylematte": {"embed_dim": 12, "feature_size": 64, "decoder_layers": 1, "feed_forward": 32},
}
