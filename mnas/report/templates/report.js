"use strict";
// Draws every plot in the colours of the page; redraws when the colour scheme changes, and in light colours for print.
(() => {
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
  const style = () => getComputedStyle(document.documentElement);
  const colour = (name) => style().getPropertyValue(name).trim();

  const PAPER = { width: 680, height: 360, autosize: false }; // px: fits A4 and US letter
  let onPaper = false;

  const dressed = (plot, div) => {
    const ink = colour("--ink"), soft = colour("--soft"), rule = colour("--rule"), ground = colour("--ground");
    const narrow = div.clientWidth < 520;
    const axis = (own) => ({
      ...own, gridcolor: rule, zerolinecolor: rule, linecolor: soft, tickcolor: soft, automargin: true, ticks: "outside",
      title: { ...own.title, font: { size: narrow ? 12 : 13, color: ink } }, tickfont: { color: soft, size: narrow ? 11 : 12 },
    });
    const data = plot.data.map((trace) => {
      const paint = trace.meta.look === "reference" ? soft : colour("--look-" + trace.meta.look);
      const open = trace.marker && trace.marker.symbol.endsWith("open");
      const edge = trace.marker && !open && trace.mode === "markers" ? { width: 1, color: ground } : { width: 1.5, color: paint };
      return { ...trace, line: { ...trace.line, color: paint }, marker: { ...trace.marker, color: paint, line: edge } };
    });
    const layout = {
      ...plot.layout,
      xaxis: axis(plot.layout.xaxis), yaxis: axis(plot.layout.yaxis),
      shapes: plot.layout.shapes.map((shape) => ({ ...shape, line: { ...shape.line, color: ink } })),
      annotations: plot.layout.annotations.map((note) => ({
        ...note, font: { color: ink, size: 12 },
      })),
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, color: ink },
      legend: { orientation: "h", x: 0, y: plot.layout.annotations.length ? 1.07 : 1.02, xanchor: "left", yanchor: "bottom", font: { size: narrow ? 11 : 12 } },
      hoverlabel: {
        bgcolor: colour("--raised"), bordercolor: soft, align: "left",
        font: { color: ink, size: 12, family: "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" },
      },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
      hovermode: "closest", dragmode: narrow ? false : "zoom",
      margin: { l: 8, r: 12, t: 8, b: 8 },
      ...(onPaper ? PAPER : { autosize: true }),
    };
    return [data, layout];
  };
  const draw = () => plots.forEach((plot) => {
    const div = document.getElementById("plot-" + plot.name);
    if (div) Plotly.react(div, ...dressed(plot, div), config);
  });
  const turn = (paper) => {
    if (paper === onPaper) return;
    onPaper = paper;
    document.documentElement.toggleAttribute("data-paper", paper);
    draw();
  };
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.matchMedia("print").addEventListener("change", (change) => turn(change.matches));
  window.addEventListener("beforeprint", () => turn(true));
  window.addEventListener("afterprint", () => turn(false));
})();
