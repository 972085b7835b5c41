import numpy as np
import pytest
import torch

from slnp_mm.datasets import DataError, SLNPPackInputs


def sample():
    return dict(
        img=np.arange(12, dtype=np.uint8).reshape(1, 4, 3),
        label=np.uint8([[5, 5, 7, 255]]),
        instances=np.int16([[[2, 0, 0, -1]]]),
        instance_labels=np.int16([5, 9, 7]),
        max_instances=4,
        img_path='a.jpg',
        sample_idx=3,
    )


def test_tensors_have_the_contract_types_and_values():
    out = SLNPPackInputs().transform(sample())
    inputs = out['inputs']
    assert inputs['img'].tolist() == [[[0, 3, 6, 9]], [[1, 4, 7, 10]], [[2, 5, 8, 11]]]
    assert inputs['img'].dtype == torch.uint8
    assert inputs['label'].tolist() == [[[5, 5, 7, 255]]]
    kinds = [inputs[key].dtype for key in ('label', 'instances', 'instance_labels')]
    assert kinds == [torch.uint8, torch.int16, torch.int16]
    assert out['data_samples'].metainfo == dict(img_path='a.jpg', sample_idx=3)


def test_vanished_instance_frees_its_slot_and_order_follows_area():
    inputs = SLNPPackInputs().transform(sample())['inputs']
    assert inputs['instances'].tolist() == [[[1, 0, 0, -1]]]
    assert inputs['instance_labels'].tolist() == [5, 7, -1, -1]


def test_a_part_of_the_keys_can_be_packed():
    data = sample()
    del data['instances'], data['instance_labels']
    out = SLNPPackInputs(keys=['img', 'label']).transform(data)
    assert set(out['inputs']) == {'img', 'label'}


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"got \['gt'\]"):
        SLNPPackInputs(keys=['gt'])
    with pytest.raises(DataError, match="made no 'instances'"):
        data = sample()
        del data['instances']
        SLNPPackInputs().transform(data)
