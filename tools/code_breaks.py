"""The small breaks that can be made in a Python file: what tools/break_code.py draws its sample from.

    for one in breaks_of("rawconv/net.py", source): ...     a Break; apply(source, one) is the broken text

Found in the syntax tree, made in the text: only the span of the broken expression changes.
"""

import ast
import collections
import hashlib
import typing

ARITHMETIC = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "//",
    ast.Pow: "*",
}
SIGNS = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
COMPARISONS = {
    ast.Lt: ("<", "<=", ">"), ast.LtE: ("<=", "<", ">="), ast.Gt: (">", ">=", "<"), ast.GtE: (">=", ">", "<="),
    ast.Eq: ("==", "!="), ast.NotEq: ("!=", "=="), ast.In: ("in", "not in"), ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"),
}  # fmt: skip
TWINS = (
    ("min", "max"), ("argmin", "argmax"), ("nanmin", "nanmax"), ("minimum", "maximum"), ("any", "all"),
    ("sum", "mean"), ("zeros", "ones"), ("zeros_like", "ones_like"), ("append", "extend"), ("std", "var"),
    ("floor", "ceil"), ("exp", "log"), ("lower", "upper"), ("lstrip", "rstrip"), ("removeprefix", "removesuffix"),
    ("hstack", "vstack"),
    ("startswith", "endswith"), ("add", "discard"),
)  # fmt: skip
OTHER = {a: b for pair in TWINS for a, b in (pair, pair[::-1])}
# keywords that are words, or checks of what holds
WORDS = ("help", "metavar", "desc", "unit", "strict")
EVEN = ("min", "max", "minimum", "maximum", "add", "logaddexp")  # of two arguments, in any order
DANGEROUS = ("rmtree",)  # what a break beside it deletes may be yours


class Break(typing.NamedTuple):
    """path:line, in `scope` (Class.function): the bytes start..end, which say `was`, become `now`.
    kind: a word.
    """

    path: str
    line: int
    scope: str
    kind: str
    start: int
    end: int
    was: str
    now: str
    count: int  # how many of the same come before it in its scope

    @property
    def key(self):
        """What it is, wherever the lines around it move to."""
        return "\t".join((self.path, self.scope, self.kind, self.was, self.now, str(self.count)))

    def draw(self, seed):
        """Its place in the lottery of this seed, which no change to another line moves."""
        return hashlib.sha256(f"{seed}\t{self.key}".encode()).hexdigest()

    def __str__(self):
        was, now = (" ".join(text.split()) for text in (self.was, self.now))
        return f"{self.path}:{self.line} {self.scope or 'module'}: {was}  ->  {now}"


def apply(source, one):
    """The text of the file with one break in it."""
    raw = source.encode()
    return (raw[: one.start] + one.now.encode() + raw[one.end :]).decode()


def breaks_of(path, source):
    """Every Break of a file, in the order of its lines; a few of them are none: see `counts`."""
    finder, seen = _Finder(path, source), collections.Counter()
    finder.visit(ast.parse(source))
    for one in sorted(finder.found, key=lambda one: (one.start, one.end, one.now)):
        same = one.scope, one.kind, one.was, one.now
        yield one._replace(count=seen[same])
        seen[same] += 1


def counts(source, one):
    """Whether the broken file is Python, and another program."""
    try:
        return ast.dump(ast.parse(apply(source, one))) != ast.dump(ast.parse(source))
    except SyntaxError:
        return False


def sample(sources, seed, count):
    """`count` breaks of {path: source}, every kind as often as any other while it lasts.

    Each break has its own lot, a hash of itself and the seed: where a file did not change, neither
    does its share.
    """
    kinds = collections.defaultdict(list)
    for path, source in sources.items():
        for one in breaks_of(path, source):
            kinds[one.kind].append(one)
    piles = [
        sorted(kinds[kind], key=lambda one: one.draw(seed), reverse=True) for kind in sorted(kinds)
    ]
    found = []
    while len(found) < count and any(piles):
        for pile in piles:
            while pile and len(found) < count:
                one = pile.pop()
                if counts(sources[one.path], one):
                    found.append(one)
                    break
    return found


class _Finder(ast.NodeVisitor):
    def __init__(self, path, source):
        self.path, self.raw, self.scope, self.found = path, source.encode(), [], []
        self.sets = set()
        self.lines = [0]
        for line in self.raw.split(b"\n"):
            self.lines.append(self.lines[-1] + len(line) + 1)

    def span(self, node):
        start = self.lines[node.lineno - 1] + node.col_offset
        return start, self.lines[node.end_lineno - 1] + node.end_col_offset

    def text(self, node):
        start, end = self.span(node)
        return self.raw[start:end].decode()

    def add(self, kind, node, now, end_node=None):
        """A break of `node`, or of all from it to `end_node`.  now: its new text, or a function of
        the old one.
        """
        (start, end), line = self.span(node), node.lineno
        if end_node is not None:
            end = self.span(end_node)[1]
        was = self.raw[start:end].decode()
        self.found.append(
            Break(self.path, line, ".".join(self.scope), kind, start, end, was, now, 0)
        )

    # What is walked through, and what is left alone.

    def _scope(self, node):
        if any(word in self.text(node) for word in DANGEROUS) and not isinstance(
            node, ast.ClassDef
        ):
            return
        self.scope.append(node.name)
        for child in [
            *node.decorator_list,
            *([] if isinstance(node, ast.ClassDef) else [node.args]),
            *node.body,
        ]:
            self.visit(child)
        self.scope.pop()

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = _scope

    def visit_arg(self, node):
        """Type hints change nothing."""

    def visit_AnnAssign(self, node):
        if node.value is not None:
            self.visit(node.value)

    def visit_JoinedStr(self, node):
        """The places of what stands inside are not told before Python 3.12."""

    def visit_If(self, node):
        if "TYPE_CHECKING" not in self.text(node.test) and "__main__" not in self.text(node.test):
            self.add("branch dropped", node.test, "False")
            self.generic_visit(node)

    def visit_Expr(self, node):
        if isinstance(node.value, ast.Call):
            self.add("call dropped", node, "pass")
        if not isinstance(node.value, ast.Constant):  # a docstring
            self.generic_visit(node)

    # The breaks.

    def visit_IfExp(self, node):
        self.add("branch dropped", node, self.text(node.orelse))
        self.generic_visit(node)

    def _between(self, left, right, was, now):
        """The sign between two expressions, exchanged in the text that stands there."""
        start, end = self.span(left)[1], self.span(right)[0]
        between = self.raw[start:end].decode()
        if between.count(was) == 1 and "#" not in between:
            start += between.encode().index(was.encode())
            kind, scope = "operator", ".".join(self.scope)
            line = 1 + self.raw.count(b"\n", 0, start)
            whole = self.raw[self.span(left)[0] : self.span(right)[1]].decode()
            head, tail = self.text(left), self.text(right)
            if whole.startswith(head) and whole.endswith(tail):
                broken = head + between.replace(was, now) + tail
                self.found.append(
                    Break(
                        self.path,
                        line,
                        scope,
                        kind,
                        *(self.span(left)[0], self.span(right)[1]),
                        whole,
                        broken,
                        0,
                    )
                )

    def visit_BinOp(self, node):
        texts = any(isinstance(part, ast.Constant | ast.JoinedStr) and isinstance(getattr(part, "value", ""), str)
                    for part in (node.left, node.right))  # fmt: skip
        if type(node.op) in ARITHMETIC and not texts:
            self._between(node.left, node.right, SIGNS[type(node.op)], ARITHMETIC[type(node.op)])
        self.generic_visit(node)

    def visit_AugAssign(self, node):
        if isinstance(node.op, ast.Add | ast.Sub):
            sign = SIGNS[type(node.op)] + "="
            self._between(node.target, node.value, sign, "-=" if sign == "+=" else "+=")
        self.generic_visit(node)

    def no_order(self, node):
        """What is asked whether something is among it."""
        if isinstance(node, ast.Tuple):
            self.sets.add(node)

    def visit_ExceptHandler(self, node):
        self.no_order(node.type)
        self.generic_visit(node)

    def visit_Compare(self, node):
        for operator, right in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                self.no_order(right)
        for left, operator, right in zip(
            [node.left, *node.comparators], node.ops, node.comparators, strict=False
        ):
            was, *others = COMPARISONS[type(operator)]
            for now in others:
                self._between(left, right, was, now)
        self.generic_visit(node)

    def visit_BoolOp(self, node):
        was, now = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            self._between(left, right, was, now)
        self.generic_visit(node)

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            self.add("not removed", node, self.text(node.operand))
        elif isinstance(node.op, ast.USub):
            self.add("sign", node, self.text(node.operand))
        self.generic_visit(node)

    def visit_Constant(self, node):
        value = node.value
        if isinstance(value, bool):
            self.add("constant", node, str(not value))
        elif isinstance(value, int):
            self.add("constant", node, str(value + 1))
            if value > 1:
                self.add("constant", node, str(value - 1))
        elif isinstance(value, float):
            self.add("constant", node, repr(value * 2 if value else 1.0))

    def visit_Call(self, node):
        plain = [given for given in node.args if not isinstance(given, ast.Starred)]
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name == "isinstance":
            self.no_order(node.args[1])
        if len(node.args) >= 2 and len(plain) == len(node.args) and name not in EVEN:
            self._swap("arguments swapped", *node.args[:2])
        for given in node.keywords:
            last = given is node.keywords[-1] and len(node.args) + len(node.keywords) > 1
            if last and given.arg not in (None, *WORDS):
                self._drop(node, given)
        self.generic_visit(node)

    def _swap(self, kind, one, two):
        between = self.raw[self.span(one)[1] : self.span(two)[0]].decode()
        if "#" not in between and "(" not in between and ")" not in between:
            self.add(kind, one, self.text(two) + between + self.text(one), two)

    def _drop(self, call, keyword):
        """The last keyword of a call, with the comma before it."""
        before = [*call.args, *call.keywords[:-1]][-1]
        start, end = self.span(before)[0], self.span(keyword)[1]
        was = self.raw[start:end].decode()
        if "#" not in was:
            scope = ".".join(self.scope)
            self.found.append(
                Break(
                    self.path,
                    keyword.lineno,
                    scope,
                    "keyword dropped",
                    start,
                    end,
                    was,
                    self.text(before),
                    0,
                )
            )

    def visit_Tuple(self, node):
        starred = any(isinstance(part, ast.Starred) for part in node.elts)
        if len(node.elts) >= 2 and not starred and node not in self.sets:
            self._swap("tuple swapped", *node.elts[:2])
        self.generic_visit(node)

    def visit_Slice(self, node):
        for bound in (node.lower, node.upper):
            if bound is not None and not isinstance(bound, ast.Constant):
                self.add("slice", bound, f"{self.text(bound)} + 1")
        self.generic_visit(node)

    def visit_Name(self, node):
        if node.id in OTHER and isinstance(node.ctx, ast.Load):
            self.add("twin", node, OTHER[node.id])

    def visit_Attribute(self, node):
        if node.attr in OTHER and isinstance(node.ctx, ast.Load):
            self.add("twin", node, f"{self.text(node.value)}.{OTHER[node.attr]}")
        self.generic_visit(node)
