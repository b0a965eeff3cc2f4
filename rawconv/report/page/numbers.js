// Numbers as people read them.

/** A number of three digits or so. */
export function formatNumber(value, digits = 3) {
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) {
    return value.toExponential(digits - 1).replace("e+", "e");
  }
  const whole = Math.ceil(Math.log10(size + 1)); // digits before the point, which are all kept
  const rounded = Number(value.toPrecision(Math.max(digits, whole)));
  return rounded.toLocaleString("en", { maximumFractionDigits: 6 });
}

export function formatPercent(share, digits = 2) {
  if (share === 0) return "0 %";
  return share < 0.0001 ? "< 0.01 %" : `${Number((100 * share).toPrecision(digits))} %`;
}

export const formatCount = (count) => count.toLocaleString("en");

/** [13, 13, 256] -> "13×13×256". */
export const formatSize = (lengths) => lengths.join("×");
