from torch.nn.functional import softplus


class Focal:
    """Cross entropy that turns from the easy samples: σ(−t)^gamma · softplus(−t), t = ±logit.

    D: t = D(x_real) and t = −D(x_fake). G: t = D(x_fake). gamma=0 is nonsat. Lin et al. 2017
    (arXiv:1708.02002), eq. 4, with the probability of the right answer σ(t).
    """

    def __init__(self, gamma: float = 2.0) -> None:
        self.gamma = gamma

    def cost(self, t):
        return ((-self.gamma * softplus(t)).exp() * softplus(-t)).mean()

    def d_loss(self, discriminator, x_real, x_fake):
        return {"focal": self.cost(discriminator(x_real)) + self.cost(-discriminator(x_fake))}

    def g_loss(self, discriminator, x_real, x_fake):
        return {"focal": self.cost(discriminator(x_fake))}
