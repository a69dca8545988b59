// Chinese words that may stay in a cleaned descriptor (PS3.15 §E.3.5). Chinese is written without spaces, so a run of
// characters is cut into words of this list, and what is in none of them is masked. Characters that are also family names
// (左, 高, 平, 方 …) stand here only as parts of longer words.

const words = (text: string): readonly string[] => text.split(/\s+/).filter(Boolean);

/** Parts of the body with a single character; they count beside another word of the list only. */
const single = words(
  '头 颅 脑 颈 胸 腹 腰 背 骶 盆 肩 肘 腕 髋 膝 踝 足 手 指 趾 肝 胆 胰 脾 肾 肺 心 胃 肠 骨 眼 耳 鼻 喉 舌 牙',
);

const parts = words(`
头颅 头部 颅脑 脑部 大脑 小脑 脑干 脑室 颅底 颅骨 颅内 颌面 颌面部 面部 眼眶 眼部 眼球 视神经 鼻窦 副鼻窦 鼻咽 鼻咽部 鼻骨 口腔 口咽 咽喉 喉部 舌部
腮腺 唾液腺 颞骨 内听道 中耳 乳突 垂体 鞍区 海马 颞叶 额叶 顶叶 枕叶 基底节 丘脑 颈部 颈椎 颈动脉 甲状腺 甲状旁腺 气管 支气管 食管 食道
胸部 胸椎 胸骨 胸腺 胸腔 胸膜 胸壁 肋骨 锁骨 肩胛骨 纵隔 肺部 双肺 肺门 肺动脉 肺静脉 心脏 心肌 心包 心室 心房 冠脉 冠状动脉 主动脉 胸主动脉 腹主动脉
乳腺 乳房 腋窝 腋下 腹部 上腹 中腹 下腹 上腹部 中腹部 下腹部 全腹 全腹部 腹盆 腹盆腔 腹腔 腹膜 腹膜后 肝脏 胆囊 胆道 胆管 胰腺 胰胆管 脾脏 肾脏 双肾 肾上腺 肾动脉
输尿管 膀胱 尿道 尿路 泌尿系 泌尿系统 胃部 小肠 结肠 直肠 肛管 肛门 阑尾 肠道 盆腔 骨盆 前列腺 精囊 睾丸 阴囊 子宫 宫颈 卵巢 附件 胎儿 胎盘
脊柱 脊髓 全脊柱 腰椎 腰骶 腰骶椎 骶椎 骶骨 骶髂关节 尾骨 尾椎 椎间盘 椎体 椎管 椎动脉 胸腰椎 颈胸椎 颈胸 头颈 头颈部 头胸 胸腹 胸腹部 颅颈
上肢 下肢 四肢 上臂 前臂 大腿 小腿 肩部 肩关节 肘部 肘关节 腕部 腕关节 手部 手指 手掌 髋部 髋关节 膝部 膝关节 踝部 踝关节 足部 足趾 足跟 跟骨 跟腱
股骨 胫骨 腓骨 肱骨 尺骨 桡骨 髌骨 半月板 韧带 肌肉 软组织 关节 骨骼 全身 血管 动脉 静脉 门静脉 下腔静脉 上腔静脉 门脉 淋巴 淋巴结 神经 皮肤
`);

const sides = words('左 右 双 左侧 右侧 双侧 两侧 单侧');
const sided = sides.flatMap((side) =>
  [...parts, ...words('肩 肘 腕 髋 膝 踝 足 手 肺 肾 眼 耳')].map((part) => side + part),
);

const techniques = words(`
平扫 增强 增强扫描 平扫加增强 平扫增强 加强 造影 动态增强 动态 延迟 延迟期 延迟扫描 动脉期 静脉期 门脉期 门静脉期 实质期 排泄期 平衡期 灌注 灌注成像 弥散 扩散 弥散加权 扩散加权 弥散张量 加权 加权像
血管成像 血管造影 血管重建 成像 扫描 定位 定位像 定位片 薄层 厚层 重建 三维 三维重建 二维 多平面 多平面重建 曲面 容积 最大密度投影 最小密度投影 高分辨 高分辨率 低剂量 能谱 双能 双源 双期 三期 多期 单期 全期
横断 横断位 横断面 横轴位 轴位 轴面 矢状 矢状位 矢状面 冠状 冠状位 冠状面 斜位 正位 侧位 正侧位 后前位 前后位 左侧位 右侧位 卧位 仰卧位 俯卧位 站立位 立位 切线位 张口位 过伸位 过屈位 功能位 蛙式位
压脂 抑脂 脂肪抑制 水抑制 水脂分离 水成像 反转恢复 自旋回波 梯度回波 快速自旋回波 磁敏感 磁敏感加权 波谱 波谱成像 磁共振 核磁 核磁共振 功能成像 水样 短时反转
骨窗 肺窗 软组织窗 纵隔窗 脑窗 窗 算法 标准 常规 普通 特殊 急诊 床旁 床边 体检 复查 随访 术前 术中 术后 治疗前 治疗后 化疗前 化疗后 放疗 放疗前 放疗后 穿刺 穿刺活检 活检 引流 介入 导引 引导
钼靶 透视 摄影 摄片 拍片 数字 断层 断层融合 计算机断层 正电子 显像 骨显像 静态 负荷 静息 屏气 自由呼吸 呼吸 呼吸门控 心电门控 门控 前瞻性 回顾性 吸气 呼气 吸气相 呼气相 收缩期 舒张期 期相 期 相 序列 图像 图片 原始 原始图像 影像 截图 后处理 伪影 校正 测试 模体
检查 筛查 诊断 部位 区域 局部 全部 第一期 第二期 第三期 首次 再次 基线 对比 对比剂 造影剂 注射 注射后 注射前 静脉注射 口服 钆剂 碘剂 剂量 参数 方案 协议 研究 试验 课题 和 及 与 加 或 伴 含 无 未 前 后 上 中 下 内 外 全
`);

const findings = words(`
正常 异常 占位 肿块 肿瘤 结节 肺结节 囊肿 血管瘤 肌瘤 腺瘤 息肉 转移 转移瘤 原发 恶性 良性 癌 肺癌 肝癌 胃癌 乳腺癌 肠癌 直肠癌 结肠癌 胰腺癌 前列腺癌 淋巴瘤 胶质瘤 脑膜瘤 垂体瘤 听神经瘤 骨肉瘤
出血 脑出血 血肿 梗死 脑梗死 脑梗 梗塞 缺血 水肿 积水 脑积水 积液 胸腔积液 积气 气胸 肺炎 肺气肿 肺栓塞 肺结核 结核 感染 炎症 脓肿 肝硬化 脂肪肝 肝炎 胆囊炎 胰腺炎 阑尾炎 结石 肾结石 胆结石 钙化 狭窄 闭塞 扩张 动脉瘤 夹层 主动脉夹层 血栓 斑块 硬化 动脉硬化
骨折 脱位 骨质疏松 退变 退行性变 骨质增生 椎间盘突出 突出 膨出 滑脱 侧弯 脊柱侧弯 损伤 外伤 撕裂 断裂 畸形 先天性 萎缩 增生 肥大 变性 坏死 股骨头坏死 纤维化 肺纤维化 间质性肺炎 粘连 梗阻 肠梗阻 穿孔 疝 瘘 癫痫 痴呆 帕金森 多发性硬化 脱髓鞘 白质 灰质 白质病变 病变 病灶 待查 可疑 疑似 考虑
`);

/** Stay by themselves. */
export const chineseTerms: ReadonlySet<string> = new Set(
  [...parts, ...sided, ...techniques, ...findings].filter(({ length }) => length > 1),
);

/** Stay where the whole run of characters is made of words, one of them of `chineseTerms`. */
export const chineseParticles: ReadonlySet<string> = new Set([
  ...single,
  ...[...techniques, ...findings].filter(({ length }) => length === 1),
]);

/** Characters of the longest word. */
export const longestChineseTerm = Math.max(...[...chineseTerms].map(({ length }) => length));
