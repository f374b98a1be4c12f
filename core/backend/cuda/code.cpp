// From source text to a kernel: NVRTC, the cache on disk, modules, launches.
#include "backend/cuda/code.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <set>
#include <unordered_map>
#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/launch.h"
#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/system.h"

namespace sn::cuda {

struct Function {
    Gpu* gpu = nullptr;
    Kernel kernel = nullptr;
    std::string name;
    std::mutex lock;
    std::atomic<uint32_t> shared_bytes{48 << 10};  // that a launch may ask for so far
};

namespace {

std::atomic<int64_t> compiled{0}, from_disk{0}, damaged{0};

// Everything that NVRTC is given.
struct Unit {
    std::string name;  // for messages
    std::string source;
    std::vector<std::pair<std::string, std::string_view>> headers;  // as included, text
    std::vector<std::string> options;
    bool binary = true;  // code of the device itself; false: PTX, which the driver compiles
};

// The headers that a text includes in quotes, and those that they include. All lie in one folder
// as far as kernels are concerned: the part of a path after the last slash names one.
void collect_headers(std::string_view text, Unit& unit, std::set<std::string>& known) {
    constexpr std::string_view kInclude = "#include \"";
    for (size_t at = text.find(kInclude); at != text.npos; at = text.find(kInclude, at)) {
        at += kInclude.size();
        const size_t end = std::min(text.find('"', at), text.size());
        std::string name(text.substr(at, end - at));
        const std::string_view found = source_text(name.substr(name.rfind('/') + 1));
        if (found.empty() || !known.insert(name).second) continue;
        unit.headers.emplace_back(std::move(name), found);
        collect_headers(found, unit, known);
    }
}

// Contraction is off, and division, square root and small numbers are those of IEEE 754:
// elementwise functions have the bits of the CPU.
void set_options(Unit& unit, int capability, std::span<const std::string> definitions) {
    const std::vector<int>& known = libraries().compiler.known;
    unit.binary = std::find(known.begin(), known.end(), capability) != known.end();
    // A device that NVRTC does not know yet: code for the newest that it knows and that is older.
    int target = known.front();
    for (int arch : known)
        if (arch <= capability) target = std::max(target, arch);
    unit.options = {(unit.binary ? "--gpu-architecture=sm_" : "--gpu-architecture=compute_") +
                        std::to_string(target),
                    "--std=c++20",
                    "--fmad=false",
                    "--prec-div=true",
                    "--prec-sqrt=true",
                    "--ftz=false",
                    "--device-int128",
                    "--device-as-default-execution-space"};
    for (const std::string& definition : definitions)
        unit.options.push_back("--define-macro=" + definition);
}

std::string key_of(const Unit& unit) {
    Sha256 hash;
    const auto add = [&](std::string_view text) {
        const uint64_t size = text.size();
        hash.update(&size, sizeof size);
        hash.update(text.data(), text.size());
    };
    const Compiler& compiler = libraries().compiler;
    add("sennit code 1");
    add(std::to_string(compiler.major) + "." + std::to_string(compiler.minor));
    for (const std::string& option : unit.options) add(option);
    add(unit.source);
    for (const auto& [name, text] : unit.headers) {
        add(name);
        add(text);
    }
    return hash.hex();
}

// ---- the cache on disk: a file for each key, which begins with the hash of what follows

constexpr size_t kDigits = 64;

std::string hash_of(std::string_view data) {
    Sha256 hash;
    hash.update(data.data(), data.size());
    return hash.hex();
}

std::string path_of(const std::string& key) {
    const std::string folder = cache_folder();
    return folder.empty() ? folder : folder + "/" + key + ".code";
}

bool read_cache(const std::string& path, std::string* image) {
    uint64_t size;
    std::string why;
    if (path.empty() || !system::regular_file_size(path, &size, &why)) return false;
    try {
        const auto file = FileBytes::open(path, false, "cuda");
        const std::string_view all(reinterpret_cast<const char*>(file->bytes().data()),
                                   file->bytes().size());
        if (all.size() > kDigits && hash_of(all.substr(kDigits)) == all.substr(0, kDigits)) {
            *image = all.substr(kDigits);
            ++from_disk;
            return true;
        }
    } catch (const Error&) {
        return false;  // it may not be read
    }
    ++damaged;
    return false;
}

// A cache that cannot be written (a full or read-only disk) costs time, and nothing else.
void write_cache(const std::string& path, const std::string& image) {
    if (path.empty() || !system::make_folder(cache_folder())) return;
    const std::string all = hash_of(image) + image;
    try {
        write_file(path, std::as_bytes(std::span(all.data(), all.size())), "cuda");
    } catch (const Error&) {
    }
}

// ---- NVRTC

std::string compile(const Unit& unit) {
    const Compiler& compiler = libraries().compiler;
    std::vector<const char*> texts, names, options;
    std::vector<std::string> copies;  // with a zero at the end
    for (const auto& [name, text] : unit.headers) copies.emplace_back(text);
    for (size_t i = 0; i < copies.size(); ++i) {
        texts.push_back(copies[i].c_str());
        names.push_back(unit.headers[i].first.c_str());
    }
    for (const std::string& option : unit.options) options.push_back(option.c_str());
    CompilerProgram program = nullptr;
    const auto require = [&](CompilerResult result, const char* doing) {
        if (result != 0)
            fail(ErrorKind::kDevice, "cuda", "NVRTC failed in %s of %s: error %d", doing,
                 unit.name.c_str(), result);
    };
    require(compiler.create(&program, unit.source.c_str(), unit.name.c_str(),
                            static_cast<int>(texts.size()), texts.data(), names.data()),
            "the preparation");
    const struct Destroy {
        CompilerProgram* program;
        ~Destroy() { libraries().compiler.destroy(program); }
    } destroy{&program};
    const CompilerResult result =
        compiler.compile(program, static_cast<int>(options.size()), options.data());
    if (result != 0) {
        size_t bytes = 0;
        std::string log;
        if (compiler.log_size(program, &bytes) == 0 && bytes > 1) {
            log.resize(bytes);
            compiler.log(program, log.data());
            log.resize(std::strlen(log.c_str()));
        }
        fail(
            ErrorKind::kInternal, "cuda",
            "NVRTC %d.%d does not compile %s (error %d); this is a bug in Sennit: please report it "
            "with this log:\n%s",
            compiler.major, compiler.minor, unit.name.c_str(), result, log.c_str());
    }
    size_t bytes = 0;
    std::string image;
    require((unit.binary ? compiler.cubin_size : compiler.ptx_size)(program, &bytes), "the end");
    image.resize(bytes);
    require((unit.binary ? compiler.cubin : compiler.ptx)(program, image.data()), "the end");
    ++compiled;
    return image;
}

// ---- functions, by device and everything that they are made of

struct Entry {
    std::mutex lock;
    std::unique_ptr<Function> function;
};

std::mutex table_lock;
std::unordered_map<std::string, std::shared_ptr<Entry>>& table() {
    static auto* made = new std::unordered_map<std::string, std::shared_ptr<Entry>>;
    return *made;
}

std::unique_ptr<Function> make_function(Gpu& gpu, const Unit& unit, const std::string& entry) {
    const Driver& driver = libraries().driver;
    const std::string path = path_of(key_of(unit));
    Module module = nullptr;
    std::string image;
    gpu.use();
    bool loaded = read_cache(path, &image) && driver.load_module(&module, image.data()) == 0;
    if (!loaded) {
        image = compile(unit);
        check(driver.load_module(&module, image.data()), "loading a kernel");
        write_cache(path, image);
    }
    auto made = std::make_unique<Function>();
    made->gpu = &gpu;
    made->name = entry;
    check(driver.get_kernel(&made->kernel, module, entry.c_str()), "looking up a kernel");
    return made;
}

// `make` gives the unit; asked for the first time only.
template <class MakeUnit>
const Function& find_function(int device, std::string key, std::string_view entry, MakeUnit make) {
    std::shared_ptr<Entry> found;
    {
        const std::lock_guard guard(table_lock);
        std::shared_ptr<Entry>& place = table()[std::move(key)];
        if (!place) place = std::make_shared<Entry>();
        found = place;
    }
    // Threads that want the same code wait for the one that makes it; others go on.
    const std::lock_guard guard(found->lock);
    if (!found->function) {
        Gpu& g = gpu(device);
        found->function = make_function(g, make(g.properties.capability), std::string(entry));
    }
    return *found->function;
}

}  // namespace

CodeStats code_stats() { return {compiled, from_disk, damaged}; }

std::string cache_folder() {
    const auto named = [](const char* variable) {
        const char* text = std::getenv(variable);
        return std::string(text ? text : "");
    };
    if (const std::string folder = named("SENNIT_CACHE"); !folder.empty()) return folder + "/cuda";
    if (const std::string folder = named("XDG_CACHE_HOME"); !folder.empty())
        return folder + "/sennit/cuda";
#if defined(_WIN32)
    const std::string home = named("USERPROFILE");
#else
    const std::string home = named("HOME");
#endif
    return home.empty() ? home : home + "/.cache/sennit/cuda";
}

const Function& function(int device, std::string_view file, std::string_view entry,
                         std::span<const std::string> definitions) {
    std::string key = std::to_string(device);
    for (std::string_view part : {file, entry}) (key += '\n') += part;
    for (const std::string& definition : definitions) (key += '\n') += definition;
    return find_function(device, std::move(key), entry, [&](int capability) {
        Unit unit;
        unit.name = file;
        unit.source = source_text(file);
        if (unit.source.empty()) {
            fail(ErrorKind::kInternal, "cuda", "there is no kernel source '%s'", unit.name.c_str());
        }
        std::set<std::string> known;
        collect_headers(unit.source, unit, known);
        set_options(unit, capability, definitions);
        return unit;
    });
}

const Function& generated_function(int device, const std::string& source, std::string_view entry) {
    std::string key = std::to_string(device) + "\n" + std::string(entry) + "\n" + source;
    return find_function(device, std::move(key), entry, [&](int capability) {
        Unit unit;
        unit.name = "a fused program (" + std::string(entry) + ")";
        unit.source = source;
        std::set<std::string> known;
        collect_headers(unit.source, unit, known);
        set_options(unit, capability, {});
        return unit;
    });
}

void launch(const Function& function, Grid blocks, uint32_t threads, uint32_t shared_bytes,
            const void* args, size_t bytes) {
    if (blocks.x == 0 || blocks.y == 0 || blocks.z == 0) return;
    const Driver& driver = libraries().driver;
    function.gpu->use();
    auto& f = const_cast<Function&>(function);
    if (shared_bytes > f.shared_bytes.load(std::memory_order_acquire)) {
        const std::lock_guard guard(f.lock);
        if (shared_bytes > f.shared_bytes.load(std::memory_order_relaxed)) {
            constexpr int kMaxDynamicShared = 8;
            check(driver.set_kernel_attribute(f.kernel, kMaxDynamicShared,
                                              static_cast<int>(shared_bytes)),
                  "asking for shared memory");
            f.shared_bytes.store(shared_bytes, std::memory_order_release);
        }
    }
    // The kernel's one parameter as a buffer: CU_LAUNCH_PARAM_BUFFER_POINTER and ..._SIZE.
    void* extra[] = {reinterpret_cast<void*>(1), const_cast<void*>(args),
                     reinterpret_cast<void*>(2), &bytes, nullptr};
    const Result result = driver.launch_kernel(f.kernel, blocks.x, blocks.y, blocks.z, threads, 1,
                                               1, shared_bytes, f.gpu->stream, nullptr, extra);
    if (result != 0) check(result, ("launching " + f.name).c_str());
}

}  // namespace sn::cuda
