// What a compiled function depends on besides its arguments, watched: the contents of dicts, lists
// and cells. A check compares pointers, and values only where those differ.
#include <cstring>

#include "compiled.h"

namespace sn::py {

bool same_object(PyObject* a, PyObject* b) {
    if (a == b) return true;
    if (!a || !b || Py_TYPE(a) != Py_TYPE(b)) return false;
    if (PyFloat_CheckExact(a)) {
        const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
        return std::memcmp(&x, &y, sizeof x) == 0;
    }
    if (PyLong_CheckExact(a) || PyUnicode_CheckExact(a) || PyBytes_CheckExact(a))
        return PyObject_RichCompareBool(a, b, Py_EQ) == 1;
    if (PyTuple_CheckExact(a)) {
        if (PyTuple_GET_SIZE(a) != PyTuple_GET_SIZE(b)) return false;
        for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(a); ++i)
            if (!same_object(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i))) return false;
        return true;
    }
    return false;
}

std::string short_repr(PyObject* o) {
    if (!o) return "missing";
    const bool plain = o == Py_None || PyBool_Check(o) || PyLong_CheckExact(o) ||
                       PyFloat_CheckExact(o) || PyUnicode_CheckExact(o);
    if (!plain)
        return is_tensor(o) ? "another tensor" : "another " + std::string(Py_TYPE(o)->tp_name);
    const Held text = Held::steal(PyObject_Repr(o));
    const char* utf8 = text ? PyUnicode_AsUTF8(text.get()) : nullptr;
    if (!utf8) {
        PyErr_Clear();
        return "?";
    }
    std::string s(utf8);
    return s.size() > 60 ? s.substr(0, 57) + "..." : s;
}

namespace {

bool is_number(PyObject* o) { return o && (PyFloat_CheckExact(o) || PyLong_CheckExact(o)); }

// Calls visit(i, key, value) for what is there now, in the order of `items`; false when there are
// more or fewer. Stops when visit says so.
template <class Visit>
bool walk(const Guard& g, Visit visit) {
    PyObject* o = g.object.get();
    switch (g.kind) {
        case GuardKind::kDict: {
            if (PyDict_GET_SIZE(o) != static_cast<Py_ssize_t>(g.items.size())) return false;
            Py_ssize_t at = 0;
            PyObject *key, *value;
            for (size_t i = 0; PyDict_Next(o, &at, &key, &value); ++i) {
                // In another order perhaps.
                if (key != g.items[i].first.get() && !same_object(key, g.items[i].first.get()))
                    return false;
                if (!visit(i, value)) return true;
            }
            return true;
        }
        case GuardKind::kNames:
            for (size_t i = 0; i < g.items.size(); ++i)
                if (!visit(i, PyDict_GetItemWithError(o, g.items[i].first.get()))) return true;
            return true;
        case GuardKind::kList:
            if (PyList_GET_SIZE(o) != static_cast<Py_ssize_t>(g.items.size())) return false;
            for (size_t i = 0; i < g.items.size(); ++i)
                if (!visit(i, PyList_GET_ITEM(o, static_cast<Py_ssize_t>(i)))) return true;
            return true;
        case GuardKind::kCell: visit(size_t{0}, PyCell_GET(o)); return true;
        case GuardKind::kSet: {
            const Held now = Held::steal(PyFrozenSet_New(o));
            if (!now) PyErr_Clear();
            return now && PyObject_RichCompareBool(now.get(), g.items[0].second.get(), Py_EQ) == 1;
        }
    }
    return false;
}

std::string item_path(const Guard& g, size_t i) {
    switch (g.kind) {
        case GuardKind::kCell: return g.path;
        case GuardKind::kList: return g.path + "[" + std::to_string(i) + "]";
        default: break;
    }
    PyObject* key = g.items[i].first.get();
    // A path that ends in a dot is of attributes, an empty one of names.
    if (PyUnicode_Check(key) && (g.path.empty() || g.path.back() == '.'))
        return g.path + PyUnicode_AsUTF8(key);
    return g.path + "[" + (is_tensor(key) ? "a parameter" : short_repr(key)) + "]";
}

std::string container_path(const Guard& g) {
    return !g.path.empty() && g.path.back() == '.' ? g.path.substr(0, g.path.size() - 1) : g.path;
}

}  // namespace

bool GuardSet::holds(std::string* why) const {
    for (const Guard& g : guards) {
        bool same = true;
        const bool whole = walk(g, [&](size_t i, PyObject* value) {
            PyObject* before = g.items[i].second.get();
            same = g.fits(i, value);
            if (!same && why)
                *why = item_path(g, i) + " was " + short_repr(before) + " and is now " +
                       short_repr(value);
            return same;
        });
        if (whole && same) continue;
        if (!whole && why) {
            const bool attributes = !g.path.empty() && g.path.back() == '.';
            *why = container_path(g) + (attributes ? " has other attributes than before"
                                                   : " has other elements than before");
        }
        return false;
    }
    return true;
}

bool GuardSet::only_numbers_differ() const {
    for (const Guard& g : guards) {
        bool fine = true;
        const bool whole = walk(g, [&](size_t i, PyObject* value) {
            PyObject* before = g.items[i].second.get();
            fine = g.fits(i, value) ||
                   (is_number(value) && is_number(before) && Py_TYPE(value) == Py_TYPE(before));
            return fine;
        });
        if (!whole || !fine) return false;
    }
    return true;
}

std::vector<std::pair<Held, Held>> GuardSet::changed_floats() const {
    std::vector<std::pair<Held, Held>> found;
    for (const Guard& g : guards)
        walk(g, [&](size_t i, PyObject* value) {
            if (g.kind == GuardKind::kDict && value && PyFloat_CheckExact(value) &&
                !g.fits(i, value))
                found.emplace_back(g.object, g.items[i].first);
            return true;
        });
    return found;
}

void GuardSet::release(PyObject* dict, PyObject* key) {
    for (Guard& g : guards) {
        if (g.kind != GuardKind::kDict || g.object.get() != dict) continue;
        g.free.resize(g.items.size());
        for (size_t i = 0; i < g.items.size(); ++i)
            if (same_object(g.items[i].first.get(), key)) g.free[i] = 1;
    }
}

void GuardSet::renew() {
    for (Guard& g : guards) {
        PyObject* o = g.object.get();
        const auto take = [&](PyObject* key, PyObject* value) {
            g.items.emplace_back(Held(key), Held(value));
        };
        std::vector<std::pair<Held, Held>> before;
        before.swap(g.items);
        switch (g.kind) {
            case GuardKind::kDict: {
                Py_ssize_t at = 0;
                PyObject *key, *value;
                while (PyDict_Next(o, &at, &key, &value)) take(key, value);
                break;
            }
            case GuardKind::kNames:
                for (const auto& item : before)
                    take(item.first.get(), PyDict_GetItemWithError(o, item.first.get()));
                break;
            case GuardKind::kList:
                for (Py_ssize_t i = 0; i < PyList_GET_SIZE(o); ++i)
                    take(nullptr, PyList_GET_ITEM(o, i));
                break;
            case GuardKind::kCell: take(nullptr, PyCell_GET(o)); break;
            case GuardKind::kSet: {
                const Held now = Held::steal(PyFrozenSet_New(o));
                if (!now) raise_python();
                take(nullptr, now.get());
                break;
            }
        }
    }
}

// ---- trees

void plant(Tree& tree, PyObject* o, std::vector<PyObject*>& tensors, int depth) {
    constexpr int kMaxDepth = 100;
    const size_t at = tree.size();
    tree.push_back({TreeNode::kObject, 0, 0, Held()});
    const auto children = [&](TreeNode::Kind kind, Py_ssize_t count, auto child) {
        tree[at].kind = kind;
        tree[at].count = static_cast<uint32_t>(count);
        for (Py_ssize_t i = 0; i < count; ++i) plant(tree, child(i), tensors, depth + 1);
    };
    if (is_tensor(o)) {
        tree[at].kind = TreeNode::kTensor;
        for (uint32_t i = 0; i < tensors.size(); ++i)
            if (tensors[i] == o) {
                tree[at].index = i;
                return;
            }
        tree[at].index = static_cast<uint32_t>(tensors.size());
        tensors.push_back(o);
    } else if (depth > kMaxDepth) {
        tree[at].object = Held(o);
    } else if (PyTuple_CheckExact(o)) {
        children(TreeNode::kTuple, PyTuple_GET_SIZE(o),
                 [&](Py_ssize_t i) { return PyTuple_GET_ITEM(o, i); });
    } else if (PyTuple_Check(o) && PyObject_HasAttrString(o, "_fields")) {
        tree[at].object = Held(reinterpret_cast<PyObject*>(Py_TYPE(o)));
        children(TreeNode::kNamedTuple, PyTuple_GET_SIZE(o),
                 [&](Py_ssize_t i) { return PyTuple_GET_ITEM(o, i); });
    } else if (PyList_CheckExact(o)) {
        children(TreeNode::kList, PyList_GET_SIZE(o),
                 [&](Py_ssize_t i) { return PyList_GET_ITEM(o, i); });
    } else if (PyDict_CheckExact(o)) {
        const Held keys = Held::steal(PySequence_Tuple(o));
        if (!keys) raise_python();
        tree[at].object = keys;
        children(TreeNode::kDict, PyTuple_GET_SIZE(keys.get()), [&](Py_ssize_t i) {
            return PyDict_GetItemWithError(o, PyTuple_GET_ITEM(keys.get(), i));
        });
    } else {
        tree[at].object = Held(o);
    }
}

bool matches(const Tree& tree, size_t& at, PyObject* o, std::vector<PyObject*>& tensors) {
    const TreeNode& n = tree[at++];
    const Py_ssize_t count = n.count;
    switch (n.kind) {
        case TreeNode::kTensor:
            if (!is_tensor(o)) return false;
            if (n.index < tensors.size()) return tensors[n.index] == o;
            tensors.push_back(o);
            return true;
        case TreeNode::kTuple:
        case TreeNode::kNamedTuple:
            if (n.kind == TreeNode::kTuple
                    ? !PyTuple_CheckExact(o)
                    : reinterpret_cast<PyObject*>(Py_TYPE(o)) != n.object.get())
                return false;
            if (PyTuple_GET_SIZE(o) != count) return false;
            for (Py_ssize_t i = 0; i < count; ++i)
                if (!matches(tree, at, PyTuple_GET_ITEM(o, i), tensors)) return false;
            return true;
        case TreeNode::kList:
            if (!PyList_CheckExact(o) || PyList_GET_SIZE(o) != count) return false;
            for (Py_ssize_t i = 0; i < count; ++i)
                if (!matches(tree, at, PyList_GET_ITEM(o, i), tensors)) return false;
            return true;
        case TreeNode::kDict: {
            if (!PyDict_CheckExact(o) || PyDict_GET_SIZE(o) != count) return false;
            Py_ssize_t place = 0;
            PyObject *key, *value;
            for (Py_ssize_t i = 0; PyDict_Next(o, &place, &key, &value); ++i) {
                if (!same_object(key, PyTuple_GET_ITEM(n.object.get(), i))) return false;
                if (!matches(tree, at, value, tensors)) return false;
            }
            return true;
        }
        case TreeNode::kObject: return same_object(o, n.object.get());
    }
    return false;
}

}  // namespace sn::py
