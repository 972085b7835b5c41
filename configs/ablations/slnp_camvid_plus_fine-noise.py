# slnp_camvid_plus.py with white noise in the upsampling blocks, pixel by pixel.
_base_ = '../slnp_camvid_plus.py'

refiners = _base_.model.generator.refiners
refiners[0]['fine_noise'] = True
model = dict(generator=dict(global_generator=dict(fine_noise=True), refiners=refiners))
del refiners
