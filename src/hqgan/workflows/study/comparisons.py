"""Differences between arms: the primary family, which is tested, and all others, which are not."""

from dataclasses import asdict
from typing import Any

from hqgan.evaluation.resampling import Estimate, difference_interval
from hqgan.evaluation.trials import detectable_effect, holm, paired_t, sentence, sign_flip
from hqgan.protocol import Protocol
from hqgan.workflows.study.tested import Setting, Tested


def primary_comparisons(protocol: Protocol, tested: Tested) -> list[dict[str, Any]]:
    """The family that was named beforehand: paired t and sign flips, each adjusted by Holm.

    The same difference within each group of the columns that the protocol names stands beside it,
    without a test.
    """
    measure, pairs = protocol.primary.measure, protocol.primary.comparisons
    place = protocol.classifiers[0], protocol.fractions[0]
    estimates = [difference(tested, (a, *place), (b, *place), measure) for a, b in pairs]
    tests = [paired_t(one.by_seed) for one in estimates]
    flips = [sign_flip(one.by_seed) for one in estimates]
    adjusted = zip(holm([test.p for test in tests]), holm(flips), strict=True)
    rows = []
    for (a, b), estimate, test, flip, (p, flip_p) in zip(
        pairs, estimates, tests, flips, adjusted, strict=True
    ):
        detectable = detectable_effect(estimate, len(pairs))
        said = sentence(
            *(a, b, measure, estimate, len(pairs), p, flip_p, detectable),
            split=tested.split.split,
        )
        rows.append(
            comparison(a, b, *place, measure, estimate)
            | {
                "primary": True,
                "t": test.statistic,
                "t_interval": test.interval,
                "p": test.p,
                "p_holm": p,
                "sign_flip_p": flip,
                "sign_flip_p_holm": flip_p,
                "minimum_detectable_effect": detectable,
                "groups": [
                    {**group, **asdict(difference(part, (a, *place), (b, *place), measure))}
                    for group, part in tested.by_group(protocol.groups)
                ],
                "sentence": said,
            }
        )
    return rows


def exploratory_comparisons(protocol: Protocol, tested: Tested) -> list[dict[str, Any]]:
    """Every arm against the baseline, wherever that is not primary: intervals, no p values."""
    measure = protocol.primary.measure
    base = protocol.baseline or next(iter(protocol.expanded()))
    place = protocol.classifiers[0], protocol.fractions[0]
    primary = {(a, b, *place) for a, b in protocol.primary.comparisons}
    rows = []
    for arm, classifier, fraction in tested.found:
        if arm == base or (arm, base, classifier, fraction) in primary:
            continue
        where = classifier, fraction
        estimate = difference(tested, (arm, *where), (base, *where), measure)
        words = sentence(arm, base, measure, estimate, split=tested.split.split)
        rows.append(
            comparison(arm, base, *where, measure, estimate) | {"primary": False, "sentence": words}
        )
    return rows


def difference(tested: Tested, one: Setting, other: Setting, measure: str) -> Estimate:
    """One setting minus another; without a value where either has failed."""
    for setting in (one, other):
        if setting in tested.failed:
            return Estimate(None, None, (), 0, 0, f"{setting[0]} failed: {tested.failed[setting]}")
    return difference_interval(tested.found[one], tested.found[other], measure)


def comparison(
    arm: str, base: str, classifier: str, fraction: float, measure: str, estimate: Estimate
) -> dict[str, Any]:
    """What all comparisons have."""
    where = {"arm": arm, "against": base, "classifier": classifier, "fraction": fraction}
    return {**where, "measure": measure, **asdict(estimate), "seeds": estimate.seeds}
