"""What compare.py makes of its measurements: ratios, the table, the plot."""

import platform
import statistics

COLORS = {"lcip": "#1c71d8", "onnxruntime": "#99c1f1", "openvino": "#c0bfbc", "ncnn": "#deddda"}


def document(results, threads):
    return {"format": "lcip-compare", "version": 1, "cpu": cpu_name(), "threads": threads,
            "throughput_geometric_mean": geometric_mean(results, "throughput_ratio"),
            "results": results}


def cpu_name():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def add_ratios(result):
    """LCIP against the best peer; more than 1 is better."""
    engines = result["engines"]
    peers = [engine for name, engine in engines.items() if name != "lcip"]
    if "lcip" not in engines or not peers:
        return result
    lcip = engines["lcip"]
    result["throughput_ratio"] = lcip["throughput_fps"]["median"] / max(
        peer["throughput_fps"]["median"] for peer in peers)
    result["latency_ratio"] = min(
        peer["latency_ms"]["median"] for peer in peers) / lcip["latency_ms"]["median"]
    if "onnxruntime" in engines:
        for key in ("first_inference_ms", "peak_rss_bytes"):
            result[key + "_ratio"] = engines["onnxruntime"][key]["median"] / lcip[key]["median"]
    return result


def geometric_mean(results, key):
    """Over the networks that do not come with LCIP."""
    values = [result[key] for result in results if key in result and not result["own"]]
    return statistics.geometric_mean(values) if values else None


def model_text(result):
    lines = [f"{result['model']} (other programs: {result['others_busy_processors']:.2f} processors)"]
    for name, engine in result["engines"].items():
        fps, ms, first = (engine[key] for key in ("throughput_fps", "latency_ms", "first_inference_ms"))
        lines.append(
            f"  {name:12} {fps['median']:8.2f} fps ({fps['min']:.2f} to {fps['max']:.2f}, "
            f"{engine['throughput_streams']} at a time)  {ms['median']:8.2f} ms ({ms['min']:.2f} to "
            f"{ms['max']:.2f})  first {first['median']:6.0f} ms ({first['min']:.0f} to {first['max']:.0f})  "
            f"{engine['peak_rss_bytes']['median'] / 2**20:6.0f} MiB  difference "
            f"{engine.get('difference', float('nan')):.1e}")
    lines += [f"  {name:12} not measured: {why}" for name, why in result["failed"].items()]
    return "\n".join(lines)


def cell(result, key):
    return f"{result[key]:.2f}" if key in result else "-"


def table(results):
    """Frames a second of each engine, LCIP against the best peer, and against ONNX Runtime in the time
    to the first inference and in memory; how many processors other programs kept busy."""
    names = ["lcip"] + sorted({name for r in results for name in r["engines"]} - {"lcip"})
    keys = ["throughput_ratio", "latency_ratio", "first_inference_ms_ratio", "peak_rss_bytes_ratio"]
    heads = ["model", *names, "throughput", "latency", "first", "memory", "others"]
    rows = [heads]
    for r in results:
        engines = r["engines"]
        fps = [f"{engines[n]['throughput_fps']['median']:.1f}" if n in engines else "-" for n in names]
        rows.append([r["model"], *fps, *(cell(r, key) for key in keys),
                     f"{r['others_busy_processors']:.2f}"])
    means = {key: geometric_mean(results, key) for key in keys}
    rows.append([f"geometric mean of {sum(not r['own'] for r in results)}", *[""] * len(names),
                 *(f"{means[key]:.2f}" if means[key] else "-" for key in keys), ""])
    widths = [max(len(row[i]) for row in rows) for i in range(len(heads))]
    return "\n".join("  ".join(text.ljust(w) if i == 0 else text.rjust(w)
                               for i, (text, w) in enumerate(zip(row, widths))) for row in rows)


def plot(results, path):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "lcip"
    from matplotlib import pyplot
    names = ["lcip"] + sorted({name for r in results for name in r["engines"]} - {"lcip"})
    figure, axes = pyplot.subplots(figsize=(9, 0.42 * len(results) + 1.4))
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        some = [(row, r["engines"][name]["throughput_fps"], best_peer(r))
                for row, r in enumerate(results) if name in r["engines"] and best_peer(r)]
        axes.barh([row + i * height for row, _, _ in some], [f["median"] / b for _, f, b in some],
                  height, label=name, color=COLORS.get(name),
                  xerr=[[(f["median"] - f["min"]) / b for _, f, b in some],
                        [(f["max"] - f["median"]) / b for _, f, b in some]],
                  error_kw={"elinewidth": 0.7})
    axes.axvline(1, color="black", linewidth=0.7)
    axes.set_yticks([row + 0.4 - height / 2 for row in range(len(results))],
                    [r["model"] for r in results])
    axes.invert_yaxis()
    axes.set_xlabel(f"frames a second, the best peer being 1 ({cpu_name()}, FP32, batch 1)")
    axes.legend(loc="lower right", fontsize="small")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def best_peer(result):
    peers = [e["throughput_fps"]["median"] for name, e in result["engines"].items() if name != "lcip"]
    return max(peers, default=0)


def write(results, output):
    text = table(results)
    print(text)
    output.with_suffix(".txt").write_text(text + "\n", encoding="utf-8")
    plot(results, output.with_suffix(".svg"))
