import pytest
import torch
from mmagic.models import DataPreprocessor

from slnp_mm.models import SLNPDataPreprocessor


@pytest.fixture
def preprocessor(tools):
    return SLNPDataPreprocessor(num_classes=tools.CLASSES)


def test_images_become_rgb_from_minus_one_to_one(preprocessor, tools):
    data = tools.make_data()
    bgr = torch.tensor([0, 51, 255], dtype=torch.uint8)
    data['inputs'][0]['img'][:] = bgr[:, None, None]
    image = preprocessor(data, True)['inputs']['img']
    want = torch.tensor([1, -0.6, -1])[:, None, None].expand(3, 32, 32)
    torch.testing.assert_close(image[0], want)
    assert image.dtype == torch.float32


def test_other_inputs_are_stacked_unchanged(preprocessor, tools):
    ids, labels, label = tools.make_instances(32)
    inputs = preprocessor(tools.make_data())['inputs']
    assert inputs['instances'].equal(ids)
    assert inputs['instance_labels'].equal(labels)
    assert inputs['label'].equal(label)


def test_unlabelled_becomes_the_last_class_index_and_back(preprocessor, tools):
    data = tools.make_data()
    ids = data['inputs'][0]['label'][0]
    ids[0, :3] = torch.tensor([0, 4, 255])
    index = preprocessor(data)['inputs']['label'][0]
    assert index[0, :3].tolist() == [0, 4, 5]
    assert preprocessor.label_ids(index).equal(ids)


def test_short_integers_leave_as_int64(preprocessor, tools):
    want = preprocessor(tools.make_data())['inputs']
    data = tools.make_data()
    for item in data['inputs']:
        item['label'] = item['label'].byte()
        item['instances'] = item['instances'].short()
        item['instance_labels'] = item['instance_labels'].short()
    found = preprocessor(data)['inputs']
    for key in ('label', 'instances', 'instance_labels'):
        assert found[key].dtype == torch.int64 and found[key].equal(want[key])


def test_destruct_undoes_the_normalisation(preprocessor, tools):
    data = tools.make_data()
    image = torch.stack([item['img'] for item in data['inputs']])
    out = preprocessor.destruct(preprocessor(data)['inputs']['img'])
    torch.testing.assert_close(out, image.float(), atol=1e-4, rtol=0)


def test_label_out_of_range_names_file_id_and_range(preprocessor, tools):
    data = tools.make_data()
    data['inputs'][1]['label'][0, 3, 3] = 17
    text = r'label ids 0\.\.4 or 255 \(unlabelled\), but 1\.png holds \[17\]; check num_classes'
    with pytest.raises(ValueError, match=f'Expected {text}'):
        preprocessor(data)


def test_negative_label_is_refused_without_samples(preprocessor, tools):
    data = tools.make_data()
    data['inputs'][0]['label'][0, 0, 0] = -1
    data['data_samples'] = None
    with pytest.raises(ValueError, match=r'but a label map holds \[-1\]'):
        preprocessor(data)


def test_keys_do_not_leak_into_mmagics_class(preprocessor):
    assert 'instance_labels' not in DataPreprocessor._NON_IMAGE_KEYS
