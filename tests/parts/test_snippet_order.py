import torch

from reelvec.parts.snippet_order import OrderHead, all_orders


def test_all_orders_are_listed_once():
    assert all_orders(3).tolist() == [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
    assert len(all_orders(4)) == len(set(map(tuple, all_orders(4).tolist()))) == 24


def test_the_head_is_the_formula_of_the_card():
    torch.manual_seed(0)
    head = OrderHead(3, 4, gate_hidden=5, hidden=6).double()
    shown = torch.randn(2, 3, 4, dtype=torch.float64)
    dropout = torch.tensor([[0.0, 2.0, 2.0, 0.0, 2.0, 2.0]], dtype=torch.float64).expand(2, 6)
    for row in range(2):
        c, weighed = shown[row].flatten(), []
        for i in range(3):
            first, _, second, _ = head.gates[i]
            inner = (first.weight @ c + first.bias).clamp(min=0)
            weighed.append(shown[row, i] / (1 + (-(second.weight @ inner + second.bias)).exp()))
        hidden = (head.hidden[0].weight @ torch.cat(weighed) + head.hidden[0].bias).clamp(min=0)
        logits = head.classes.weight @ hidden + head.classes.bias
        torch.testing.assert_close(head(shown)[row], logits)
        logits = head.classes.weight @ (hidden * dropout[row]) + head.classes.bias
        torch.testing.assert_close(head(shown, dropout)[row], logits)


def test_it_learns_an_order_that_is_in_the_features():
    torch.manual_seed(0)
    head = OrderHead(3, 4, gate_hidden=8, hidden=16)
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-2)
    for _ in range(150):
        truth = torch.randint(6, (32,))
        features = torch.randn(32, 1, 4) + torch.arange(3.0)[None, :, None]
        logits = head(features.take_along_dim(all_orders(3)[truth][:, :, None], 1))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, truth).backward()
        optimiser.step()
    assert (logits.argmax(1) == truth).float().mean() > 0.8
