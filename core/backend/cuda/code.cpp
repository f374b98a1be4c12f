// From source text to a kernel: NVRTC, the cache on disk, modules, launches.
#include "backend/cuda/code.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include "backend/cuda/code_cache.h"
#include "backend/cuda/device.h"
#include "backend/cuda/pack.h"
#include "backend/cuda/wrap.h"
#include "base/error.h"
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

std::atomic<int64_t> compiled{0}, from_disk{0}, damaged{0}, from_pack{0};

// Everything that NVRTC is given, but for the architecture.
struct Unit {
    std::string name;  // for messages
    std::string source;
    std::vector<std::pair<std::string, std::string_view>> headers;  // as included, text
    std::vector<std::string> options;
    bool users = false;
};

// What is compiled for: code of the device itself, or PTX, which the driver compiles.
struct Target {
    bool binary = true;
    int arch = 0;
    std::string option() const {
        return (binary ? "--gpu-architecture=sm_" : "--gpu-architecture=compute_") +
               std::to_string(arch);
    }
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
void set_options(Unit& unit, std::span<const std::string> definitions) {
    unit.options = {"--std=c++20",
                    "--fmad=false",
                    "--prec-div=true",
                    "--prec-sqrt=true",
                    "--ftz=false",
                    "--device-int128",
                    "--device-as-default-execution-space"};
    for (const std::string& definition : definitions)
        unit.options.push_back("--define-macro=" + definition);
}

Target target_for(int capability) {
    const std::vector<int>& known = libraries().compiler.known;
    Target target{std::find(known.begin(), known.end(), capability) != known.end(), known.front()};
    // A device that NVRTC does not know yet: code for the newest that it knows and that is older.
    for (int arch : known)
        if (arch <= capability) target.arch = std::max(target.arch, arch);
    return target;
}

// What a unit is, whatever compiles it and for which device.
std::string key_of(const Unit& unit) {
    Sha256 hash;
    const auto add = [&](std::string_view text) {
        const uint64_t size = text.size();
        hash.update(&size, sizeof size);
        hash.update(text.data(), text.size());
    };
    add("sennit code 2");
    for (const std::string& option : unit.options) add(option);
    add(unit.source);
    for (const auto& [name, text] : unit.headers) {
        add(name);
        add(text);
    }
    return hash.hex();
}

// Of its code on disk.
std::string disk_key(const std::string& key, const Target& target) {
    const Compiler& compiler = libraries().compiler;
    const std::string text = key + "\n" + std::to_string(compiler.major) + "." +
                             std::to_string(compiler.minor) + "\n" + target.option();
    Sha256 hash;
    hash.update(text.data(), text.size());
    return hash.hex();
}

// ---- NVRTC

std::string compile(const Unit& unit, const Target& target) {
    const Compiler& compiler = libraries().compiler;
    std::vector<const char*> texts, names, options;
    std::vector<std::string> copies;  // with a zero at the end
    for (const auto& [name, text] : unit.headers) copies.emplace_back(text);
    for (size_t i = 0; i < copies.size(); ++i) {
        texts.push_back(copies[i].c_str());
        names.push_back(unit.headers[i].first.c_str());
    }
    const std::string architecture = target.option();
    options.push_back(architecture.c_str());
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
        if (unit.users)
            fail(ErrorKind::kValue, unit.name, "NVRTC %d.%d does not compile it (error %d):\n%s",
                 compiler.major, compiler.minor, result, log.c_str());
        fail(
            ErrorKind::kInternal, "cuda",
            "NVRTC %d.%d does not compile %s (error %d); this is a bug in Sennit: please report it "
            "with this log:\n%s",
            compiler.major, compiler.minor, unit.name.c_str(), result, log.c_str());
    }
    size_t bytes = 0;
    std::string image;
    require((target.binary ? compiler.cubin_size : compiler.ptx_size)(program, &bytes), "the end");
    image.resize(bytes);
    require((target.binary ? compiler.cubin : compiler.ptx)(program, image.data()), "the end");
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

std::mutex log_lock;
std::vector<CodeEvent>& events() {
    static auto* made = new std::vector<CodeEvent>;
    return *made;
}
std::atomic<bool> noting{false};
std::map<std::string, Unit>& needed() {  // by key
    static auto* made = new std::map<std::string, Unit>;
    return *made;
}

// The code of a unit: from disk, or compiled and written there.
std::string image_of(const Unit& unit, const std::string& key, const Target& target,
                     const char** from) {
    const std::string place = disk_key(key, target);
    std::string image;
    const Cached found = read_cache(place, &image);
    if (found == Cached::kRead) {
        ++from_disk;
        *from = "disk";
        return image;
    }
    if (found == Cached::kDamaged) ++damaged;
    *from = "compiled";
    image = compile(unit, target);
    write_cache(place, image);
    return image;
}

[[noreturn]] void fail_without_compiler(const Unit& unit, const std::string& entry,
                                        int capability) {
    fail(ErrorKind::kDevice, "cuda",
         "kernel %s of %s for sm_%d is not in %s, and NVRTC is not there to compile it (%s); make "
         "a file that has it where NVRTC is: sennit cuda-pack -o FILE --arch sm_%d SCRIPT",
         entry.c_str(), unit.name.c_str(), capability, pack_names().c_str(),
         libraries().compiler.problem.c_str(), capability);
}

std::unique_ptr<Function> make_function(Gpu& gpu, const Unit& unit, const std::string& entry) {
    const Driver& driver = libraries().driver;
    const std::string key = key_of(unit);
    const int capability = gpu.properties.capability;
    const int64_t begin = system::steady_nanoseconds();
    if (noting) {
        const std::lock_guard guard(log_lock);
        needed().emplace(key, unit);
    }
    Module module = nullptr;
    const char* from = "pack";
    gpu.use();
    if (const PackEntry* found = packed(key, capability)) {
        check(driver.load_module(&module, found->image.data()), "loading a kernel");
        ++from_pack;
    } else if (!libraries().compiler) {
        fail_without_compiler(unit, entry, capability);
    } else {
        const Target target = target_for(capability);
        std::string image = image_of(unit, key, target, &from);
        if (const Result result = driver.load_module(&module, image.data())) {
            if (std::string_view(from) == "compiled") check(result, "loading a kernel");
            from = "compiled";  // what was on disk is none of this driver's
            image = compile(unit, target);
            check(driver.load_module(&module, image.data()), "loading a kernel");
            write_cache(disk_key(key, target), image);
        }
    }
    auto made = std::make_unique<Function>();
    made->gpu = &gpu;
    made->name = entry;
    const Result result = driver.get_kernel(&made->kernel, module, entry.c_str());
    if (result != 0 && unit.users) {
        fail(ErrorKind::kValue, unit.name,
             "the source has no kernel '%s'; declare it as  extern \"C\" __global__ void %s(...)",
             entry.c_str(), entry.c_str());
    }
    check(result, "looking up a kernel");
    const std::lock_guard guard(log_lock);
    const auto took = static_cast<double>(system::steady_nanoseconds() - begin);
    events().push_back({unit.name, entry, from, took * 1e-9});
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
        found->function = make_function(g, make(), std::string(entry));
    }
    return *found->function;
}

Unit file_unit(std::string_view file, std::span<const std::string> definitions) {
    Unit unit;
    unit.name = file;
    unit.source = source_text(file);
    if (unit.source.empty()) {
        fail(ErrorKind::kInternal, "cuda", "there is no kernel source '%s'", unit.name.c_str());
    }
    std::set<std::string> known;
    collect_headers(unit.source, unit, known);
    set_options(unit, definitions);
    return unit;
}

}  // namespace

CodeStats code_stats() { return {compiled, from_disk, damaged, from_pack}; }

std::vector<CodeEvent> code_log() {
    const std::lock_guard guard(log_lock);
    return events();
}

std::string device_problem() {
    const Libraries& found = libraries();
    if (!found.driver) return found.driver.problem;
    try {
        return found.compiler || have_packs() ? std::string() : found.compiler.problem;
    } catch (const Error& damaged_pack) {
        return damaged_pack.message();
    }
}

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
    return find_function(device, std::move(key), entry,
                         [&] { return file_unit(file, definitions); });
}

const Function& generated_function(int device, const std::string& source, std::string_view entry) {
    std::string key = std::to_string(device) + "\n" + std::string(entry) + "\n" + source;
    return find_function(device, std::move(key), entry, [&] {
        Unit unit;
        unit.name = "a fused program (" + std::string(entry) + ")";
        unit.source = source;
        std::set<std::string> known;
        collect_headers(unit.source, unit, known);
        set_options(unit, {});
        return unit;
    });
}

const Function& user_function(int device, const std::string& name, const std::string& source,
                              std::string_view entry, std::span<const std::string> options) {
    std::string key = std::to_string(device) + "\nuser\n" + std::string(entry) + "\n";
    for (const std::string& option : options) (key += option) += '\n';
    return find_function(device, key + source, entry, [&] {
        Unit unit;
        unit.name = name;
        unit.source = source;
        unit.options.assign(options.begin(), options.end());
        unit.users = true;
        return unit;
    });
}

void note_needed(bool on) { noting = on; }

void note_declared() {
    for (const KernelSource* kernel : declared_kernels()) {
        for (const std::vector<std::string>& definitions : kernel->variants()) {
            Unit unit = file_unit(kernel->file(), definitions);
            std::string key = key_of(unit);
            const std::lock_guard guard(log_lock);
            needed().emplace(std::move(key), std::move(unit));
        }
    }
}

PackReport write_needed(const std::string& path, const std::vector<int>& archs) {
    const Compiler& compiler = libraries().compiler;
    if (!compiler) fail(ErrorKind::kDevice, "cuda_pack", "%s", compiler.problem.c_str());
    for (int arch : archs) {
        if (std::find(compiler.known.begin(), compiler.known.end(), arch) == compiler.known.end())
            fail(ErrorKind::kValue, "cuda_pack",
                 "NVRTC %d.%d does not know sm_%d; it knows sm_%d to sm_%d", compiler.major,
                 compiler.minor, arch, compiler.known.front(), compiler.known.back());
    }
    std::vector<std::pair<const std::string*, const Unit*>> units;
    {
        const std::lock_guard guard(log_lock);
        for (const auto& [key, unit] : needed()) units.emplace_back(&key, &unit);
    }
    std::vector<PackEntry> entries(units.size() * archs.size());
    std::atomic<size_t> next{0};
    std::mutex failing;
    std::exception_ptr failure;
    const auto work = [&] {
        for (size_t i = next++; i < entries.size(); i = next++) {
            const auto& [key, unit] = units[i / archs.size()];
            const int arch = archs[i % archs.size()];
            try {
                const char* from;
                entries[i] = {*key, unit->name, arch, image_of(*unit, *key, {true, arch}, &from)};
            } catch (...) {
                const std::lock_guard guard(failing);
                if (!failure) failure = std::current_exception();
                next = entries.size();
            }
        }
    };
    std::vector<std::thread> threads;
    for (int i = 1; i < system::usable_cpus(); ++i) threads.emplace_back(work);
    work();
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
    write_pack(path, entries);
    PackReport report;
    for (const PackEntry& e : entries) report.bytes += static_cast<int64_t>(e.image.size());
    report.kernels = static_cast<int64_t>(entries.size());
    return report;
}

void launch(const Function& function, Grid blocks, uint32_t threads, uint32_t shared_bytes,
            const void* args, size_t bytes) {
    launch_user(function, blocks, {threads}, shared_bytes, args, bytes);
}

void launch_user(const Function& function, Grid blocks, Grid threads, uint32_t shared_bytes,
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
    const Result result =
        driver.launch_kernel(f.kernel, blocks.x, blocks.y, blocks.z, threads.x, threads.y,
                             threads.z, shared_bytes, f.gpu->stream, nullptr, extra);
    if (result != 0) check(result, ("launching " + f.name).c_str());
}

}  // namespace sn::cuda
