// Call sites: which line of the user's program recorded an op, and inside which module.
#define Py_BUILD_CORE
#include "py.h"
#if PY_VERSION_HEX < 0x030E0000
#include <internal/pycore_frame.h>
#endif
#undef Py_BUILD_CORE

#include <mutex>
#include <unordered_map>
#include <vector>

#include "record/recorder.h"

namespace sn::py {

namespace {

// A site is a code object, a position in it and the module path; interned, so that an op call only
// stores a number. Code objects are kept alive: their address is the key.
struct Site {
    PyCodeObject* code;
    int offset;  // bytes
    uint32_t scope;
    friend bool operator==(const Site&, const Site&) = default;
};
struct SiteHash {
    size_t operator()(const Site& s) const {
        return (reinterpret_cast<size_t>(s.code) >> 4) * 0x9e3779b97f4a7c15ull ^
               static_cast<size_t>(s.offset) * 0xff51afd7ed558ccdull ^ s.scope;
    }
};
std::unordered_map<Site, uint32_t, SiteHash> site_ids;
std::vector<Site> sites{{nullptr, 0, 0}};
std::unordered_map<PyCodeObject*, bool> internal_code;  // is it inside the package?
std::string package_folder;

// Module paths ("model.layers.0.conv"), as a tree of names: a scope is a node of it.
struct Scope {
    uint32_t parent;
    PyObject* name;  // kept
};
std::vector<Scope> scopes{{0, nullptr}};
std::unordered_map<uint64_t, uint32_t> scope_ids;
thread_local uint32_t scope = 0;

constexpr size_t kMaxSites = 1 << 20;

// While calls that were noted earlier are made (sennit/_noted.py): the code that makes them, and
// the line that they were noted at, which is theirs where no later frame is the user's.
thread_local PyCodeObject* noted_code = nullptr;
thread_local uint32_t noted_site = 0;

bool is_internal(PyCodeObject* code) {
    const auto it = internal_code.find(code);
    if (it != internal_code.end()) return it->second;
    const char* file = PyUnicode_AsUTF8(code->co_filename);
    bool inside = false;
    if (file && !package_folder.empty())
        inside = package_folder.compare(0, std::string::npos, file, package_folder.size()) == 0;
    if (!file) PyErr_Clear();
    Py_INCREF(code);
    internal_code.emplace(code, inside);
    return inside;
}

uint32_t intern(PyCodeObject* code, int offset) {
    const Site site{code, offset, scope};
    const auto it = site_ids.find(site);
    if (it != site_ids.end()) return it->second;
    if (sites.size() >= kMaxSites) return 0;
    Py_INCREF(code);
    sites.push_back(site);
    const uint32_t id = static_cast<uint32_t>(sites.size() - 1);
    site_ids.emplace(site, id);
    return id;
}

uint32_t python_site() {
    if (!PyGILState_Check()) return 0;
#if PY_VERSION_HEX < 0x030E0000
    PyThreadState* state = PyThreadState_Get();
#if PY_VERSION_HEX < 0x030D0000
    _PyInterpreterFrame* frame = state->cframe->current_frame;
#else
    _PyInterpreterFrame* frame = state->current_frame;
#endif
    for (; frame; frame = frame->previous) {
#if PY_VERSION_HEX >= 0x030C0000
        if (frame->owner == FRAME_OWNED_BY_CSTACK) continue;
#endif
#if PY_VERSION_HEX >= 0x030D0000
        if (!PyCode_Check(frame->f_executable)) continue;
        PyCodeObject* code = reinterpret_cast<PyCodeObject*>(frame->f_executable);
        _Py_CODEUNIT* at = frame->instr_ptr;
#else
        PyCodeObject* code = frame->f_code;
        _Py_CODEUNIT* at = frame->prev_instr;
#endif
        if (noted_site && code == noted_code)
            return intern(sites[noted_site].code, sites[noted_site].offset);
        if (is_internal(code)) continue;
        return intern(code, static_cast<int>(at - _PyCode_CODE(code)) *
                                static_cast<int>(sizeof(_Py_CODEUNIT)));
    }
    return 0;
#else
    PyFrameObject* frame = PyEval_GetFrame();
    Py_XINCREF(frame);
    while (frame) {
        PyCodeObject* code = PyFrame_GetCode(frame);
        uint32_t id = 0;
        if (noted_site && code == noted_code)
            id = intern(sites[noted_site].code, sites[noted_site].offset);
        else if (!is_internal(code))
            id = intern(code, PyFrame_GetLasti(frame));
        Py_DECREF(code);
        PyFrameObject* back = id ? nullptr : PyFrame_GetBack(frame);
        Py_DECREF(frame);
        if (id) return id;
        frame = back;
    }
    return 0;
#endif
}

std::string scope_path(uint32_t id) {
    std::string path;
    for (; id; id = scopes[id].parent) {
        const char* name = PyUnicode_AsUTF8(scopes[id].name);
        if (!name || !*name) continue;
        path = path.empty() ? name : std::string(name) + "." + path;
    }
    return path;
}

std::string python_site_text(uint32_t id) {
    if (id == 0 || id >= sites.size()) return {};
    const PyGILState_STATE gil = PyGILState_Ensure();
    const Site& site = sites[id];
    const char* file = PyUnicode_AsUTF8(site.code->co_filename);
    const int line = PyCode_Addr2Line(site.code, site.offset);
    std::string text = "at " + std::string(file ? file : "?") + ":" + std::to_string(line);
    const std::string path = scope_path(site.scope);
    if (!path.empty()) text += " in module " + path;
    PyGILState_Release(gil);
    return text;
}

// Enters a module's scope; returns what leave_scope() needs.
PyObject* enter_scope(PyObject*, PyObject* name) {
    const uint32_t before = scope;
    const uint64_t key =
        static_cast<uint64_t>(reinterpret_cast<size_t>(name)) * 0x9e3779b97f4a7c15ull ^ before;
    const auto it = scope_ids.find(key);
    if (it != scope_ids.end() && scopes[it->second].name == name &&
        scopes[it->second].parent == before) {
        scope = it->second;
    } else if (scopes.size() < kMaxSites) {
        Py_INCREF(name);
        scopes.push_back({before, name});
        scope = static_cast<uint32_t>(scopes.size() - 1);
        scope_ids[key] = scope;
    }
    return PyLong_FromUnsignedLong(before);
}

PyObject* leave_scope(PyObject*, PyObject* before) {
    scope = static_cast<uint32_t>(PyLong_AsUnsignedLong(before));
    Py_RETURN_NONE;
}

PyObject* set_package_folder(PyObject*, PyObject* folder) {
    const char* text = PyUnicode_AsUTF8(folder);
    if (!text) return nullptr;
    package_folder = text;
    internal_code.clear();
    Py_RETURN_NONE;
}

PyObject* describe_site(PyObject*, PyObject* id) {
    const std::string text = python_site_text(static_cast<uint32_t>(PyLong_AsUnsignedLong(id)));
    return PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()));
}

PyObject* call_site(PyObject*, PyObject*) { return PyLong_FromUnsignedLong(python_site()); }

PyObject* set_noted_site(PyObject*, PyObject* args) {
    PyObject* code = nullptr;
    unsigned int site = 0;
    if (!PyArg_ParseTuple(args, "O!I", &PyCode_Type, &code, &site)) return nullptr;
    const uint32_t before = noted_site;
    noted_code = reinterpret_cast<PyCodeObject*>(code);  // of a function of the package: it stays
    noted_site = site < sites.size() ? site : 0;
    return PyLong_FromUnsignedLong(before);
}

PyMethodDef methods[] = {
    {"call_site", call_site, METH_NOARGS, "The user's line that is running."},
    {"set_noted_site", set_noted_site, METH_VARARGS,
     "Calls that this code makes are of this line, where no later frame is the user's; returns the "
     "line before."},
    {"enter_scope", enter_scope, METH_O, "Enters the scope of a module of this name."},
    {"leave_scope", leave_scope, METH_O, "Leaves it."},
    {"set_package_folder", set_package_folder, METH_O,
     "Frames below this folder are not the user's."},
    {"describe_site", describe_site, METH_O, "The text of a call site."},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void init_sites(PyObject* module) {
    PyModule_AddFunctions(module, methods);
    set_site_function(python_site);
    set_site_text_function(python_site_text);
}

}  // namespace sn::py
