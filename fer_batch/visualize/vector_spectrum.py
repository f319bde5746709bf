"""The eigenvalues that decided the number of clusters, as SVG."""

from __future__ import annotations

from fer_batch.visualize.figure import INK, PALE, RULE, SOFT_INK
from fer_batch.visualize.spectrum_layout import ClusterDecision, spectrum_layout
from fer_batch.visualize.vector import drawing, element, words

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP, _RIGHT = 250.0, 200.0, 40.0, 34.0, 26.0, 8.0


def spectrum_svg(decision: ClusterDecision, label: str) -> str:
    """Eigenvalues by number: those below the gap filled and blue, the others grey; the gap is marked.

    Returns
    -------
    str
        Empty where there is no eigenvalue.
    """
    plan = spectrum_layout(decision)
    values, n, k = plan.values, len(plan.values), plan.n_clusters
    if not n:
        return ""
    low, high = min(0.0, float(values.min())), max(float(values.max()), 1e-9)

    def x(number: float) -> float:
        return _LEFT + (number - 0.4) / (n + 0.2) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP)

    parts = []
    plot = _HEIGHT - _BOTTOM - _TOP
    if plan.gap is not None:
        parts.append(element("rect", x=x(k), y=_TOP, width=x(k + 1) - x(k), height=plot, fill=PALE))
        middle, above, below = (x(k) + x(k + 1)) / 2, y(plan.gap[1]), y(plan.gap[0])
        heads = f"m-3-5l3 5 3-5M{middle:.1f} {above:.1f}m-3 5l3-5 3 5" if below - above > 14 else ""
        line = f"M{middle:.1f} {above:.1f}V{below:.1f}{heads}"
        parts.append(element("path", d=line, fill="none", stroke=INK))
        parts.append(words("gap", middle, above - 6, text_anchor="middle", font_size=11, fill=INK))
    parts.append(element("path", d=f"M{_LEFT} {_TOP}V{_HEIGHT - _BOTTOM}H{_WIDTH - _RIGHT}", fill="none", stroke=RULE))
    places = [(x(number), y(value)) for number, value in enumerate(values.tolist(), 1)]
    for own, stem, rim, fill in ((places[k:], "#b6bec7", "#6e7781", "#fff"), (places[:k], *("#0072b2",) * 3)):
        if own:
            # A line of no length with round ends is a dot; small values would hide on the axis without.
            dots = "".join(f"M{left:.1f} {top:.1f}h0" for left, top in own)
            stems = "".join(f"M{left:.1f} {y(0):.1f}V{top:.1f}" for left, top in own)
            parts.append(element("path", d=stems, stroke=stem, stroke_width=1.6))
            parts.append(element("path", d=dots, stroke=rim, stroke_width=7.5, stroke_linecap="round"))
            parts.append(
                element("path", d=dots, stroke=fill, stroke_width=5.5, stroke_linecap="round", class_="eigenvalues")
            )
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000) if n / s <= 9)
    for number in range(1, n + 1):
        if number == 1 or number % step == 0:
            parts.append(
                words(str(number), x(number), _HEIGHT - _BOTTOM + 14, text_anchor="middle", font_size=11, fill=INK)
            )
    for value in (0.0, high):
        parts.append(words(f"{value:.2g}", _LEFT - 5, y(value) + 4, text_anchor="end", font_size=11, fill=INK))
    title = " · ".join(filter(None, (plan.title, plan.details)))
    parts.append(words(title, _LEFT, 12, font_size=12, fill=INK))
    parts.append(
        words("eigenvalue number", (_LEFT + _WIDTH) / 2, _HEIGHT - 4, text_anchor="middle", font_size=11, fill=SOFT_INK)
    )
    return drawing(_WIDTH, _HEIGHT, *parts, label=label, css="spectrum")
