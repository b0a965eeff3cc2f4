// What tools/lint_js.sh holds our scripts to.  The rules stand here one by one: nothing is installed beside eslint.
const globals = "AbortController addEventListener atob Blob clearTimeout ClipboardItem createImageBitmap CSS document "
  + "Event EventSource EventTarget fetch history Image innerWidth IntersectionObserver location matchMedia "
  + "MessageEvent MutationObserver navigator scrollTo setTimeout TextDecoder URL URLSearchParams window Worker";

export default [
  {
    files: ["**/*.js"],
    languageOptions: {
      ecmaVersion: 2023,
      sourceType: "module",
      globals: Object.fromEntries(globals.split(" ").map((name) => [name, "readonly"])),
    },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      "no-undef": "error",
      "no-unused-vars": "error",
      "no-use-before-define": ["error", { functions: false, variables: false }],
      "no-redeclare": "error",
      "no-shadow": ["error", { builtinGlobals: true }],
      "no-dupe-keys": "error",
      "no-unreachable": "error",
      "no-fallthrough": "error",
      "no-self-compare": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": ["error", ...["innerHTML", "outerHTML", "insertAdjacentHTML"].map((property) => (
        { property, message: "Text of the data is a text node, never markup." }))],
      "no-var": "error",
      "prefer-const": "error",
      "prefer-template": "off",
      "object-shorthand": "error",
      eqeqeq: ["error", "always", { null: "ignore" }],
      "max-len": ["error", { code: 120 }],
      "max-params": ["error", 7],
      "max-lines-per-function": ["error", 30],
      complexity: ["error", 10],
    },
  },
];
