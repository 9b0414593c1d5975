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
    before: "Before", after: "After", map: "Map of changes", show_map: "Show map", download: "Download", download_all: "Download all",
    command: "The same on the command line", stage: "The picture. [ and ] change the brush, x swaps brush and eraser, space moves, + and - zoom.",
    settings: "Settings", mask_shown: "The mask covers {share} % of the picture.", mask_none: "No mask: the whole picture changes.",
    expired: "This result is no longer kept. Undo it, or apply it again.", where: "Where to change",
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
    before: "之前", after: "之后", map: "变化图", show_map: "显示变化图", download: "下载", download_all: "全部下载",
    command: "等效的命令行", stage: "图片。[ 和 ] 改变画笔大小，x 切换画笔与橡皮，空格移动，+ 和 - 缩放。",
    settings: "设置", mask_shown: "蒙版覆盖图片的 {share} %。", mask_none: "没有蒙版：整张图片都会改变。",
    expired: "这个结果已不再保存。请撤销，或重新应用。", where: "改变哪里",
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
