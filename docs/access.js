// What the theme leaves without a name: the search dialog, and the buttons beside each block of code.  And what a
// keyboard does not reach: a table wider than the page.
const name = () => {
  document.querySelectorAll(".md-search:not([aria-label])").forEach((dialog) =>
    dialog.setAttribute("aria-label", "Search"));
  document.querySelectorAll(".md-code__nav:not([aria-label])").forEach((nav) =>
    nav.setAttribute("aria-label", `Code block ${document.querySelectorAll(".md-code__nav[aria-label]").length + 1}`));
  document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])").forEach((wrap) =>
    wrap.setAttribute("tabindex", 0));
};
new MutationObserver(name).observe(document.documentElement, {childList: true, subtree: true});
name();
