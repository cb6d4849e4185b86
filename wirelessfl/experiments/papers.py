"""The papers whose figures are reproduced, and what of them is known here."""

_AFAR = "; the full text was not at hand, its settings are reconstructed"
PAPERS = {
    "light-fedsl": "Zhang, Ni, Wang: lightweight federated split learning (arXiv 2412.06414)" + _AFAR,
    "fsl-sage": "Nair et al.: FSL-SAGE, ICML 2025 (arXiv 2505.23182); settings as in its public code",
    "epsl": "Lin et al.: efficient parallel split learning (EPSL), IEEE TMC 2024 (arXiv 2303.15991)" + _AFAR,
    "personalised": "Liu et al.: adaptive pruning and personalisation, IEEE TSP 2024 (arXiv 2309.01816)" + _AFAR,
}
