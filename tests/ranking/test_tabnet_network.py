"""Our TabNet beside pytorch-tabnet, with the same weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pytorch_tabnet import sparsemax as their_masks
from pytorch_tabnet import tab_network

from modiste.ranking.encoding import Columns, Encoded
from modiste.ranking.tabnet.inference import FusedTabNet
from modiste.ranking.tabnet.masks import entmax, sparsemax
from modiste.ranking.tabnet.network import TabNet
from modiste.ranking.tabnet.settings import TabNetNetworkSettings

# Three numbers, the second of which may be missing; two categories.
COLUMNS = Columns(5, (0, 1, 2, 1), (3, 4), (5, 7))
ROWS, VIRTUAL = 96, 32


def settings(**changed: object) -> TabNetNetworkSettings:
    small = {"decision_width": 8, "attention_width": 6, "steps": 3, "embedding": 2}
    return TabNetNetworkSettings.model_validate(small | {"virtual_batch": VIRTUAL} | changed)


def make_network(**changed: object) -> TabNet:
    """With weights and statistics that are not those of a new one."""
    torch.manual_seed(0)
    network = TabNet(COLUMNS, settings(**changed))
    for name, value in network.state_dict().items():
        if name.endswith(("norm.weight", "variance")) or "norms" in name:
            value.copy_(torch.rand_like(value) + 0.5)
    return network


def make_inputs(rows: int = ROWS) -> Encoded:
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal((rows, 4)).astype(np.float32)
    categories = np.stack([rng.integers(0, codes, rows) for codes in COLUMNS.codes], 1)
    return Encoded(numbers, categories.astype(np.int32))


def their_name(ours: str, shared: int) -> list[str]:
    """Names that pytorch-tabnet has for a weight of ours; a shared layer has one in each step."""
    encoder = "tabnet.encoder"
    part, _, rest = ours.partition(".")
    rest = rest.replace("running_variance", "running_var")
    if part == "embeddings":
        return [f"embedder.{ours}"]
    if part == "norm":
        return [f"{encoder}.initial_bn.{rest}"]
    if part == "decision":
        return [f"tabnet.final_mapping.{rest}"]
    if part == "attentions":
        rest = rest.replace("linear", "fc").replace("norm", "bn.bn")
        return [f"{encoder}.att_transformers.{rest}"]
    if part == "shared":
        return [rest]
    step = f"{encoder}.initial_splitter"
    if part == "transformers":
        number, _, rest = rest.partition(".")
        step = f"{encoder}.feat_transformers.{number}"
    kind, layer, what = rest.split(".", 2)
    if kind == "own":
        return [f"{step}.specifics.glu_layers.{layer}.fc.{what}"]
    block = "shared" if int(layer) < shared else "specifics"
    of_block = int(layer) - (0 if block == "shared" else shared)
    return [f"{step}.{block}.glu_layers.{of_block}.bn.bn.{what}"]


def their_network(network: TabNet) -> tab_network.TabNet:
    """pytorch-tabnet's with the same weights; the two columns of a feature are a group."""
    ours, shape = network.state_dict(), network.settings
    # What they are given: a column a category, and they divide a feature's share by its columns.
    groups = torch.zeros(5, 6)
    for feature, column, share in ((0, 0, 1), (1, 1, 0.5), (2, 2, 1), (1, 3, 0.5), (3, 4, 1)):
        groups[feature, column] = share
    groups[4, 5] = 1
    theirs = tab_network.TabNet(
        6,
        1,
        n_d=shape.decision_width,
        n_a=shape.attention_width,
        n_steps=shape.steps,
        gamma=shape.relaxation,
        cat_idxs=[4, 5],
        cat_dims=list(COLUMNS.codes),
        cat_emb_dim=[shape.embedding] * 2,
        n_independent=shape.own_layers,
        n_shared=shape.shared_layers,
        virtual_batch_size=shape.virtual_batch,
        momentum=shape.momentum,
        mask_type=shape.mask,
        group_attention_matrix=groups,
    )
    state = theirs.state_dict()
    filled = {name for name in state if name.endswith("num_batches_tracked")}
    for name, value in ours.items():
        if name == "base":
            continue
        for their in their_name(name, shape.shared_layers):
            if name.startswith("shared"):
                layer = their.partition(".")[0]
                of_all = [
                    each
                    for each in state
                    if each.endswith(
                        (f"shared_layers.{layer}.weight", f"shared.glu_layers.{layer}.fc.weight")
                    )
                ]
            else:
                of_all = [their]
            for each in of_all:
                state[each].copy_(value)
                filled.add(each)
    # initial_bn of the outer network is not used by them.
    assert {name for name in state if "tabnet.initial_bn" not in name} == {
        name for name in filled if "tabnet.initial_bn" not in name
    }
    return theirs


def as_theirs(rows: Encoded) -> torch.Tensor:
    return torch.from_numpy(np.concatenate([rows.numbers, rows.categories], 1))


def tensors(rows: Encoded) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(rows.numbers), torch.from_numpy(rows.categories)


SHAPES = [{}, {"mask": "entmax"}, {"shared_layers": 0}, {"shared_layers": 1, "own_layers": 1}]


@pytest.mark.parametrize("changed", SHAPES)
def test_scores_in_training_and_after_it(changed: dict[str, object]) -> None:
    network, rows = make_network(**changed), make_inputs()
    theirs = their_network(network)
    for training in (True, False):
        network.train(training)
        theirs.train(training)
        logits, entropy = network(*tensors(rows))
        wanted, their_entropy = theirs(as_theirs(rows))
        torch.testing.assert_close(logits, wanted[:, 0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(entropy, -their_entropy, atol=1e-5, rtol=1e-5)
    # The second time with the statistics that training has left.
    name = "tabnet.encoder.feat_transformers.1.specifics.glu_layers.0.bn.bn.running_var"
    if not changed:
        ours = network.state_dict()["transformers.1.norms.2.running_variance"]
        torch.testing.assert_close(ours, theirs.state_dict()[name])


@pytest.mark.parametrize("changed", SHAPES)
def test_gradients(changed: dict[str, object]) -> None:
    network, rows = make_network(**changed), make_inputs()
    theirs = their_network(network)
    logits, entropy = network(*tensors(rows))
    (logits.square().sum() + 3 * entropy).backward()
    wanted, their_entropy = theirs(as_theirs(rows))
    (wanted.square().sum() - 3 * their_entropy).backward()
    their_parameters = dict(theirs.named_parameters())
    compared = 0
    for name, parameter in network.named_parameters():
        if name.startswith("shared"):
            continue  # named otherwise where it first occurs
        (their,) = their_name(name, network.settings.shared_layers)
        gradient = their_parameters[their].grad
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-4, rtol=1e-3)
        compared += 1
    assert compared > 20


@pytest.mark.parametrize("changed", SHAPES)
def test_fused_scores_masks_and_importance(changed: dict[str, object]) -> None:
    network, rows = make_network(**changed), make_inputs(700)
    theirs = their_network(network).eval()
    fused = FusedTabNet(network.eval())
    with torch.no_grad():
        wanted = theirs(as_theirs(rows))[0][:, 0].numpy()
        their_importance, their_step_masks = theirs.forward_masks(as_theirs(rows))
        ours = network(*tensors(rows))[0].numpy()
    rounding = 1e-5 * float(np.abs(wanted).max())
    assert fused.logits(rows) == pytest.approx(wanted, abs=rounding, rel=0)
    assert fused.logits(rows) == pytest.approx(ours, abs=rounding, rel=0)
    explained = fused.explain(rows)
    # Their columns: the numbers, then two of each embedding.
    of_feature = torch.zeros(8, 5)
    of_feature[range(8), [0, 1, 2, 1, 3, 3, 4, 4]] = 1
    for step, mask in their_step_masks.items():
        assert explained.masks[step] == pytest.approx((mask @ of_feature).numpy(), abs=2e-5)
    assert explained.masks.sum(2) == pytest.approx(np.ones((3, 700)), abs=1e-5)
    wanted_importance = (their_importance @ of_feature).numpy()
    rounding = 1e-5 * float(wanted_importance.max())
    assert explained.importance == pytest.approx(wanted_importance, abs=rounding, rel=0)


@pytest.mark.parametrize(("ours", "name"), [(sparsemax, "sparsemax"), (entmax, "entmax15")])
def test_masks(ours: object, name: str) -> None:
    assert callable(ours)
    theirs = getattr(their_masks, name)
    torch.manual_seed(0)
    cases = [
        torch.randn(200, 40) * 3,
        torch.zeros(2, 7),  # all alike
        torch.randn(50, 1),
        torch.randn(20, 300) * 100,  # one far above
        torch.randint(0, 2, (30, 12)).float(),  # ties
        torch.full((1, 5), 1e8),
    ]
    for case in cases:
        z = case.clone().requires_grad_()
        their_z = case.clone().requires_grad_()
        mask, wanted = ours(z), theirs(their_z.clone())
        torch.testing.assert_close(mask, wanted, atol=1e-5, rtol=1e-5)
        upstream = torch.randn_like(case)
        (gradient,) = torch.autograd.grad(mask, z, upstream)
        (their_gradient,) = torch.autograd.grad(wanted, their_z, upstream)
        torch.testing.assert_close(gradient, their_gradient, atol=1e-4, rtol=1e-4)
        # No row depends on another, to the last bit.
        assert torch.equal(ours(case[:1]), mask[:1].detach())


def test_a_batch_that_leaves_a_row_alone() -> None:
    network = make_network(virtual_batch=2).train()
    network(*tensors(make_inputs(3)))
    assert all(value.isfinite().all() for value in network.state_dict().values())
