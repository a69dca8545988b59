// Words that are a name or an ID somewhere and an ordinary word everywhere else. Alone they prove nothing, so the leak check
// counts them only as a whole value or together with the rest of the name (SPEC 7).

const words = `
abdomen abdominal acquisition acute adult algorithm anatomy angio angiography anonymous anonymized anonymised anonym
ankle aorta aortic april arch arterial artery atlas august axial back baker ball bank barium base baseline bass bell best
bill biopsy bishop black blank blue body bone bones book both bowel bowl brain breast bridge bright bronze brook brooks
brown bush butler cardiac cardio care carotid carpenter carrier carter case cases cell center central centre cerebral
cervical chamber chambers chance chase chest chief child church circle city clark clay clear clinic clinical clinician
cloud code coil cold cole color colour column common contour contrast container control cook cool cooper core coronal coronary cortex
corner cotton course court cranial cranium cross crown curve daily dale data date dawn days dean december deep default
delay demo dental depth derived detector device diagnostic diamond dicom diffusion display doctor dose double drake draw
dual dummy duke dynamic early earth east echo elbow emergency empty energy enhanced epic error esophagus exam examination
example export face faith false family farmer fast father female femur fern field fields film filter final finding
findings finger first fisher flair flash fleet flow fluid fluoro fluoroscopy focus foot ford forest foster four fowler
fox frame frames france frank free french friday front frost full fusion future gallagher gamma gantry garden gardner
gate general gentle german gland glass glover gold golden good gordon grace grand grant gray green grey grid ground group
guide hall hand hands hard harp harvest hawk head heart heel height helical high hill hills hip hold holder holly home
hope hospital house hunt hunter image images imaging implant index inferior info initial injury inner institute
institution intensity inversion iris ivory jack january jewel joint jones jordan joy july june junior kernel kidney
kidneys king knee knight label lake lamb lane large laser last late lateral lead leaf lean lee left legs leg length level
light lily limb line linear list little liver local localizer location long loop love lower lumbar lung lungs main major
male manual map march mark marker mars marsh mary mask mason mass master matrix maximum may mean measure medial medical
medicine medium member mercy method middle mild mill miller mills minor mirror mobile modality model moon moore morning
morphology mother motion motor mountain mouth multi muscle name nasal native neck needle negative nerve neutral new nice
night noble nodule noise none normal north nose note november nuclear number nurse object oblique october office olive
operator optic oral orange orbit order original other outer overlay page pain palm panel parallel park parker parks part
partial patel patella patient patients pearl pediatric pelvic pelvis penny perfusion person phantom phase physician pierce
pike pilot pixel place plain plan plane planning pole pond pool poor pope porter portal position positive post posterior
potter power precise presentation press pressure price prince probe procedure process processed processing professor
profile project prone prostate protocol proton public pulmonary pulse pure quality quick radial radiation radiology range
rapid rate ratio reading real recon reconstruction record recorded rectum reed reference referring reform reformat
region regular relative relax renal replaced report rescan research resolution rest result results review rice rich right
ring river robin rock room root rose rotation routine royal ruby ruler sacral safe sage sagittal sample samples sand
saturation savage scale scan scanner scans scout screen screening secondary section sequence september serial series
service session seven shadow sharp shepherd shield ship short shoulder side signal silver simple simulation single site
size skin skull slice slices slow small smart smith smooth smoother snow soft software south space spain spatial spear
special spin spinal spine spiral spleen spot spring square stable standard stark start state static station steel stent
step stern stomach stone stop strain street stress strong structure structured study summary summer sunday super superior
supine surface surgery surgical survey swan swift system table target task taylor technician technologist test testing
tests texas text thigh thin thoracic thorax three thrombus thumb thyroid tilt time tissue title tone torso total tower town
trace track trauma treatment tree trial true tube tumor tumour turbo turner type ultra ultrasound under unit unknown
unnamed upper urban user vale valley valve values vein venous version vertebra vertical vessel video view viewer virtual
vision visit volume walker wall ward washington waste water wave weaver week weight wells west wheel white whole wide
width wild window winter wise wolf wood woods word work wrist year yellow york young youth zero zone
agfa canon carestream ge general electric fuji fujifilm gems hitachi hologic kodak konica marconi mindray mirada neusoft
osirix philips picker samsung shimadzu siemens toshiba united imaging varian elekta pinnacle
anon deid deidentified identity removed redacted hidden private nobody nouser admin administrator guest root volunteer
healthy subject subjects human animal mouse rabbit tiger lion horse bird fish
检查 患者 病人 测试 头部 胸部 腹部 平扫 增强 医院 医生 放射 匿名 未知 先生 女士 门诊 住院 正常 图像 影像 报告
`;

export const commonWords: ReadonlySet<string> = new Set(words.split(/\s+/).filter(Boolean));

const nobody = `
anon anonym anonymous anonymized anonymised deidentified deid unknown unnamed undefined none null nil noname nobody
notavailable notapplicable na nan
conquest cornerstone dcm2nii dcm2niix dcm4che dcmqi dcmtk dicom2nifti dicom3tools fsl gdcm highdicom horos itk itksnap
matlab medcon mricron nifti nifti2dicom ohif orthanc osirix plastimatch pydicom simpleitk slicer slicer3d vtk xnat
匿名 未知
`;

/** What programs write into PatientName and PatientID when there is no patient: it names nobody wherever it stands. */
export const namesNobody: ReadonlySet<string> = new Set(nobody.split(/\s+/).filter(Boolean));

const placeholders: ReadonlySet<string> = new Set(
  // prettier-ignore
  ['demo', 'doctor', 'dummy', 'example', 'observer', 'operator', 'patient', 'phantom', 'physician', 'qa', 'qc', 'sample',
   'subject', 'technologist', 'test', 'testing', 'volunteer'],
);

/** A name of nothing but these is nobody's: `Test^Patient`. */
export const isPlaceholder = (word: string): boolean => placeholders.has(word);
