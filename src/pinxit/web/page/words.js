// What the page says, in English and Chinese. Help of settings comes from the server; zh-help.json translates it.

import { kept } from "./store.js";

/** A dictionary of each language. Both have the same words. */
export const WORDS = {
  en: {
    edit: "Edit", train: "Train", runs: "Runs", play: "Play", judge: "Judge", language: "中文", rooms: "Rooms",
    skip: "Skip to the room", none: "none", more: "More", automatic: "automatic", slider: "slider", word: "or a word",
    choose_file: "Choose a file", own_file: "a file of yours", remove: "Remove", progress: "Progress", stop: "Stop",
    queued: "waiting", running: "working", done: "done", failed: "failed", cancelled: "stopped", copy: "Copy", copied: "Copied",
    loading: "Loading",
    // Edit
    drop_pictures: "Drop pictures here", drop_hint: "or paste them, or click to choose. They stay on this machine.",
    edit_empty: "Begin with a picture", pictures: "Pictures", add_pictures: "Add pictures", close_picture: "Close {name}",
    editor: "Edit", apply: "Apply", apply_all: "Apply to all {n}", undo: "Undo", redo: "Redo", history: "History", original: "Original",
    hand: "Move", brush: "Brush", eraser: "Eraser", box: "Box", pick: "Pick a colour", clear: "Clear mask", size: "Size of the brush",
    tools: "Tools of the mask", zoom_in: "Zoom in", zoom_out: "Zoom out", fit: "Fit", before_after: "Before / after",
    show_map: "Show map", then: "And then…", then_hint: "Choose another edit to follow; both are applied at once.", chain: "Edits in turn",
    unlink: "Take out {name}", download: "Download", download_all: "Download all",
    command: "The same on the command line", stage: "The picture. [ and ] change the brush, x swaps brush and eraser, space moves, + and - zoom.",
    expired: "This result is no longer kept. Undo it, or apply it again.",
    // Train
    data: "Data", choose_data: "choose", folder: "folder {name}", own_set: "{n} files of yours", sending: "{at} of {of}",
    drop_set: "Drop pictures or a zip", drop_set_hint: "They stay on this machine.", objective: "What to train", start: "Start training",
    train_empty: "Watch it learn", train_hint: "Choose data, say how many minutes, and start. Sheets, curves and findings appear here.",
    check: "Check the data", contact: "Contact sheet", sound: "Nothing was found that spoils a training.", resume: "Go on", open_run: "Open the run", no_sheet: "No sheet yet.",
    sheet_of: "step {step}", further: "Train on", from_checkpoint: "Or begin a new run with the weights of a checkpoint:", steps: "Step", findings: "Findings", latest: "latest",
    // Runs
    runs_empty: "No run yet", runs_hint: "Open a run, or select two to compare them.", compare: "Compare", select: "Select", open: "unfinished",
    progress_of: "{steps} of {last} steps", all_runs: "All runs", report: "Report", new_tab: "In a new tab", differing: "Settings that differ",
    setting: "Setting", same_settings: "All settings are the same.", scores: "Scores", score: "Score", verdict: "Verdict",
    not_scored: "Not scored yet: {name}. Score both against the same pictures first.",
    // Play
    play_empty: "Train something to play with", run: "Run", sample: "Sample", kept: "Kept", seed: "seed {seed}", let_go: "Let go of seed {seed}",
    between: "The way between", directions: "Strongest directions", direction: "Direction {n}", style: "Style", painted: "The painted picture",
    style_hint: "Choose a picture and a style; the slider paints it again, as strongly as you like.", content: "Picture", style_of: "Style of",
    strength: "Strength", rate: "{n} a second",
    // Judge
    judge_empty: "How good is it?", judge_hint: "Choose pictures to score, and real ones to score them against.", generated: "Pictures to score",
    reference: "Real pictures", value: "Value and 95 % interval", smaller: "smaller is better", larger: "larger is better", as_real: "best near the floor",
    nearest: "The nearest training pictures", certificate: "Save the certificate",
  },
  zh: {
    edit: "编辑", train: "训练", runs: "记录", play: "把玩", judge: "评判", language: "English", rooms: "房间",
    skip: "跳到正文", none: "无", more: "更多", automatic: "自动", slider: "滑块", word: "或输入一个词",
    choose_file: "选择文件", own_file: "你的文件", remove: "移除", progress: "进度", stop: "停止",
    queued: "等待中", running: "进行中", done: "完成", failed: "失败", cancelled: "已停止", copy: "复制", copied: "已复制",
    loading: "载入中",
    drop_pictures: "把图片拖到这里", drop_hint: "也可以粘贴，或点击选择。图片不会离开这台机器。",
    edit_empty: "先放入一张图片", pictures: "图片", add_pictures: "添加图片", close_picture: "关闭 {name}",
    editor: "编辑操作", apply: "应用", apply_all: "应用到全部 {n} 张", undo: "撤销", redo: "重做", history: "历史", original: "原图",
    hand: "移动", brush: "画笔", eraser: "橡皮", box: "方框", pick: "取色", clear: "清除蒙版", size: "画笔大小",
    tools: "蒙版工具", zoom_in: "放大", zoom_out: "缩小", fit: "适合窗口", before_after: "前后对比",
    show_map: "显示变化图", then: "接着…", then_hint: "再选一个编辑操作；它们会一起应用。", chain: "依次的编辑操作",
    unlink: "去掉 {name}", download: "下载", download_all: "全部下载",
    command: "等效的命令行", stage: "图片。[ 和 ] 改变画笔大小，x 切换画笔与橡皮，空格移动，+ 和 - 缩放。",
    expired: "这个结果已不再保存。请撤销，或重新应用。",
    data: "数据", choose_data: "请选择", folder: "文件夹 {name}", own_set: "你的 {n} 个文件", sending: "第 {at} 个，共 {of} 个",
    drop_set: "拖入多张图片或一个 zip", drop_set_hint: "它们不会离开这台机器。", objective: "训练什么", start: "开始训练",
    train_empty: "看它学习", train_hint: "选择数据，给出分钟数，然后开始。样张、曲线和诊断会出现在这里。",
    check: "检查数据", contact: "样张总览", sound: "没有发现会破坏训练的问题。", resume: "继续", open_run: "打开这次训练", no_sheet: "还没有样张。",
    sheet_of: "第 {step} 步", further: "继续训练", from_checkpoint: "或用某个检查点的权重开始一次新的训练：", steps: "步", findings: "诊断", latest: "最新",
    runs_empty: "还没有训练记录", runs_hint: "打开一次训练，或选择两次来比较。", compare: "比较", select: "选择", open: "未完成",
    progress_of: "{steps} / {last} 步", all_runs: "全部记录", report: "报告", new_tab: "在新标签页打开", differing: "不同的设置",
    setting: "设置", same_settings: "所有设置都相同。", scores: "分数", score: "指标", verdict: "结论",
    not_scored: "尚未评分：{name}。请先用同样的图片给两者评分。",
    play_empty: "先训练一个模型", run: "训练记录", sample: "采样", kept: "已保留", seed: "种子 {seed}", let_go: "放下种子 {seed}",
    between: "两者之间", directions: "最强的方向", direction: "方向 {n}", style: "风格", painted: "绘成的图片",
    style_hint: "选择一张图片和一种风格；滑块会按你要的强度重新绘制。", content: "图片", style_of: "风格来源",
    strength: "强度", rate: "每秒 {n} 张",
    judge_empty: "它有多好？", judge_hint: "选择要评分的图片，以及作为对照的真实图片。", generated: "要评分的图片",
    reference: "真实图片", value: "数值与 95 % 区间", smaller: "越小越好", larger: "越大越好", as_real: "越接近基线越好",
    nearest: "最接近的训练图片", certificate: "保存证书",
  },
};

export const language = kept("language", navigator.language.startsWith("zh") ? "zh" : "en");

/** Return a text in the language of the page; {names} in it are replaced. */
export const say = (key, names = {}) =>
  WORDS[language.get()][key].replace(/\{(\w+)\}/g, (_, name) => names[name]);

let chinese = {};
const known = fetch("zh-help.json").then((answer) => (answer.ok ? answer.json() : {}), () => ({}));
known.then((words) => { chinese = words; language.set(language.get()); });

/** Return help that came from the server, in the language of the page where it is translated. */
export const help = (text) => (language.get() === "zh" && chinese[text]) || text;
