import torch
import torch.nn.functional as F

from reelvec.parts import sinkhorn


def cosines(rows, prototypes, seed):
    generator = torch.Generator().manual_seed(seed)
    z = F.normalize(torch.randn(rows, 8, generator=generator, dtype=torch.float64))
    return z @ F.normalize(torch.randn(prototypes, 8, generator=generator, dtype=torch.float64)).T


def slow_sinkhorn(scores, epsilon, iterations):
    rows, columns = scores.shape
    plan = [[torch.tensor(s / epsilon, dtype=torch.float64).exp().item() for s in row] for row in scores.tolist()]
    for _ in range(iterations):
        for k in range(columns):
            of_prototype = sum(plan[i][k] for i in range(rows))
            for i in range(rows):
                plan[i][k] /= of_prototype * columns
        for i in range(rows):
            of_clip = sum(plan[i])
            plan[i] = [p / of_clip / rows for p in plan[i]]
    return torch.tensor(plan, dtype=torch.float64) * rows


def test_equals_loops():
    scores = cosines(6, 4, 0)
    torch.testing.assert_close(sinkhorn(scores, 0.05, 3), slow_sinkhorn(scores, 0.05, 3))


def test_codes_of_many_iterations_use_all_prototypes_equally():
    codes = sinkhorn(cosines(12, 4, 1), 0.5, 200)
    torch.testing.assert_close(codes.sum(1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(codes.sum(0), torch.full((4,), 3.0, dtype=torch.float64))


def test_one_prototype_for_all_clips_is_not_an_answer():
    scores = torch.zeros(8, 4)
    scores[:, 2] = 0.9  # every clip is nearest to the same prototype
    torch.testing.assert_close(sinkhorn(scores, 0.05, 3), torch.full((8, 4), 0.25))


def test_a_small_epsilon_gives_numbers():
    codes = sinkhorn(cosines(16, 8, 2).float(), 0.01, 3)
    assert codes.dtype == torch.float32
    torch.testing.assert_close(codes.sum(1), torch.ones(16))


def test_codes_carry_no_gradient():
    scores = cosines(4, 3, 3).requires_grad_()
    assert not sinkhorn(scores, 0.05, 3).requires_grad
